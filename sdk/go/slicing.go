package gridloom

import (
	"crypto/md5"
	"encoding/binary"
	"strconv"
)

// SliceOf says which slice of so many a key belongs to: a stable hash that SQL and every other language can repeat
// (docs/SLICING.md has it for them, with test vectors). MD5 is for spread here, not for secrecy.
func SliceOf(key string, slices int) int {
	hash := md5.Sum([]byte(key))
	return int(uint64(binary.BigEndian.Uint32(hash[:4])) % uint64(slices))
}

// SliceOfInt is SliceOf for a whole number, which is hashed as its plain decimal digits.
func SliceOfInt(key int64, slices int) int {
	return SliceOf(strconv.FormatInt(key, 10), slices)
}
