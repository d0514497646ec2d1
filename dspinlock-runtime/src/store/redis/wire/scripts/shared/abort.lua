-- The tag decides alone, because a dropped call knows no fence.
local state = read()
if not state or state.owner ~= ARGV[1] or state.computed then return {'ABORTED', 0} end
redis.call('UNLINK', S)
return {'ABORTED', 1}
