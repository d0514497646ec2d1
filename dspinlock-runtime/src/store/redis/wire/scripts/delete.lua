return {'DELETED', redis.call('UNLINK', KEYS[1])}
