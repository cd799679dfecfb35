postern_unit_test(token SOURCES unit/token_test.cc unit/secret_test.cc LINK postern_token)
postern_unit_test(fipsd-crypto SOURCES unit/decrypt_test.cc unit/selftest_test.cc LINK postern_fipsd_crypto)

# A PKCS#11 module that wraps SoftHSM2 and fails as it is told; Python tests use it too.
add_library(pkcs11_mock MODULE support/pkcs11_mock.cc)
target_link_libraries(pkcs11_mock PRIVATE postern_flags pkcs11_header)
postern_unit_test(token-faults TIMEOUT 900
  SOURCES unit/token_fault_test.cc unit/token_recovery_test.cc
  LINK postern_token pkcs11_header PkgConfig::FMT)
target_compile_definitions(unit-token-faults PRIVATE POSTERN_PKCS11_MOCK="$<TARGET_FILE:pkcs11_mock>")
add_dependencies(unit-token-faults pkcs11_mock)
