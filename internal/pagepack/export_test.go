package pagepack

var Adler32 = adler32
