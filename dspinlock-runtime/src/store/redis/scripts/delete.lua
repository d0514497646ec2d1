local existed = redis.call('EXISTS', S)
redis.call('UNLINK', S, V)
return {'DELETED', existed}
