-- The tag decides alone, because a dropped call knows no fence. V keeps the last fence until the lease expires.
local state = read_record()
if not state or state.bad or state.tag ~= ARGV[1] or state.computed then return {'ABORTED', 0} end
redis.call('UNLINK', S)
return {'ABORTED', 1}
