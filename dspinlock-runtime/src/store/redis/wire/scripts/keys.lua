local S, V = KEYS[1], KEYS[2]
