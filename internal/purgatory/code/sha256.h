// SHA-256 constants, FIPS 180-4 sections 4.2.2 and 5.3.3.
#define SHA256_K \
	D32($0x428a2f98); D32($0x71374491); D32($0xb5c0fbcf); D32($0xe9b5dba5); \
	D32($0x3956c25b); D32($0x59f111f1); D32($0x923f82a4); D32($0xab1c5ed5); \
	D32($0xd807aa98); D32($0x12835b01); D32($0x243185be); D32($0x550c7dc3); \
	D32($0x72be5d74); D32($0x80deb1fe); D32($0x9bdc06a7); D32($0xc19bf174); \
	D32($0xe49b69c1); D32($0xefbe4786); D32($0x0fc19dc6); D32($0x240ca1cc); \
	D32($0x2de92c6f); D32($0x4a7484aa); D32($0x5cb0a9dc); D32($0x76f988da); \
	D32($0x983e5152); D32($0xa831c66d); D32($0xb00327c8); D32($0xbf597fc7); \
	D32($0xc6e00bf3); D32($0xd5a79147); D32($0x06ca6351); D32($0x14292967); \
	D32($0x27b70a85); D32($0x2e1b2138); D32($0x4d2c6dfc); D32($0x53380d13); \
	D32($0x650a7354); D32($0x766a0abb); D32($0x81c2c92e); D32($0x92722c85); \
	D32($0xa2bfe8a1); D32($0xa81a664b); D32($0xc24b8b70); D32($0xc76c51a3); \
	D32($0xd192e819); D32($0xd6990624); D32($0xf40e3585); D32($0x106aa070); \
	D32($0x19a4c116); D32($0x1e376c08); D32($0x2748774c); D32($0x34b0bcb5); \
	D32($0x391c0cb3); D32($0x4ed8aa4a); D32($0x5b9cca4f); D32($0x682e6ff3); \
	D32($0x748f82ee); D32($0x78a5636f); D32($0x84c87814); D32($0x8cc70208); \
	D32($0x90befffa); D32($0xa4506ceb); D32($0xbef9a3f7); D32($0xc67178f2)

#define SHA256_H \
	D32($0x6a09e667); D32($0xbb67ae85); D32($0x3c6ef372); D32($0xa54ff53a); \
	D32($0x510e527f); D32($0x9b05688c); D32($0x1f83d9ab); D32($0x5be0cd19)
