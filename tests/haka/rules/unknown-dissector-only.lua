local value = haka.dissectors.zz
assert(value == nil)
