-- The tag decides alone, because a dropped call knows no fence.
local kind, tag = parse(head())
if kind ~= 'B' or tag ~= ARGV[1] then return {'ABORTED', 0} end
redis.call('UNLINK', K)
return {'ABORTED', 1}
