# A PKCS#11 module that wraps SoftHSM2 and fails as it is told; Python tests use it too.
add_library(pkcs11_mock MODULE support/pkcs11_mock.cc)
target_link_libraries(pkcs11_mock PRIVATE postern_flags pkcs11_header)

function(postern_token_test name)
  postern_unit_test(${name} TIMEOUT 900 ${ARGN})
  target_compile_definitions(unit-${name} PRIVATE POSTERN_PKCS11_MOCK="$<TARGET_FILE:pkcs11_mock>")
  add_dependencies(unit-${name} pkcs11_mock)
endfunction()

postern_token_test(token SOURCES unit/token_test.cc unit/secret_test.cc LINK postern_token)
postern_token_test(fipsd-crypto SOURCES unit/decrypt_test.cc unit/selftest_test.cc LINK postern_fipsd_crypto)
# Apart, so that they run beside each other.
foreach(part IN ITEMS fault fault_objects recovery)
  string(REPLACE "_" "-" name "token-${part}")
  postern_token_test(${name} SOURCES unit/token_${part}_test.cc LINK postern_token pkcs11_header PkgConfig::FMT)
endforeach()
