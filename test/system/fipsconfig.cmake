# SPDX-License-Identifier: Apache-2.0
# fipsconfig against a scripted fipsd. It needs no mail server. fipsd's systemd units.
add_test(NAME system-fipsconfig COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/fipsconfig_test.py")
set_tests_properties(system-fipsconfig PROPERTIES LABELS "ci;system" TIMEOUT 600
  ENVIRONMENT "POSTERN_BIN=${PROJECT_BINARY_DIR}/bin;POSTERN_SOURCE=${PROJECT_SOURCE_DIR};PYTHONDONTWRITEBYTECODE=1")

if(SYSTEMD_ANALYZE)
  postern_system_test(fipsd-unit COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/fipsd_unit_test.py")
endif()
