postern_unit_test(token SOURCES unit/token_test.cc unit/secret_test.cc LINK postern_token)
postern_unit_test(fipsd-crypto SOURCES unit/decrypt_test.cc unit/selftest_test.cc LINK postern_fipsd_crypto)
