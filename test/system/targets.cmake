# SPDX-License-Identifier: Apache-2.0
# System tests: posternd under real mail servers, run from the packages that contrib/get-mtas unpacks into build/mta. They need root.
# postern_system_test(NAME COMMAND…): label ci; the environment says where programs and packages are. SERIAL: runs alone, because it
# measures or loads the machine.
add_library(test_preload SHARED support/preload.cc)
set_target_properties(test_preload PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/test")
set(POSTERN_MTA_DIR "${PROJECT_SOURCE_DIR}/build/mta" CACHE PATH "Where contrib/get-mtas unpacked Postfix and Sendmail")
set(system_environment "POSTERN_BIN=${PROJECT_BINARY_DIR}/bin" "POSTERN_MTA_DIR=${POSTERN_MTA_DIR}"
  "POSTERN_TEST_PRELOAD=$<TARGET_FILE:test_preload>" "POSTERN_SOURCE=${PROJECT_SOURCE_DIR}" "PYTHONDONTWRITEBYTECODE=1")

add_test(NAME system-get-mtas COMMAND "${PROJECT_SOURCE_DIR}/contrib/get-mtas" "${POSTERN_MTA_DIR}")
set_tests_properties(system-get-mtas PROPERTIES LABELS "ci;system" FIXTURES_SETUP mtas TIMEOUT 300)

function(postern_system_test name)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT;LABEL" "COMMAND" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL ci)
  endif()
  add_test(NAME system-${name} COMMAND "${PYTHON3}" ${ARG_COMMAND})
  set_tests_properties(system-${name} PROPERTIES LABELS "${ARG_LABEL};system" TIMEOUT ${ARG_TIMEOUT} FIXTURES_REQUIRED mtas
    ENVIRONMENT "${system_environment}")
  if(ARG_SERIAL)
    set_tests_properties(system-${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

foreach(mta postfix sendmail)
  postern_system_test(cases-${mta} COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/run_cases.py" --mta ${mta})
  postern_system_test(changes-${mta} COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/changes_test.py" ${mta} $<TARGET_FILE:changes-dump>)
  postern_system_test(kill-${mta} COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/kill_test.py" ${mta})
endforeach()
postern_system_test(sign-outage COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/sign_outage_test.py")
postern_system_test(protocol COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/protocol_test.py")
postern_system_test(live SERIAL COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/live_test.py")
postern_system_test(size SERIAL COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/size_test.py")
postern_system_test(events COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/events_test.py")
postern_system_test(long LABEL long TIMEOUT 3600 COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/long_test.py")
postern_system_test(walk LABEL long TIMEOUT 3600 COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/protocol_test.py" Protocol.test_random_walk)
set_property(TEST system-walk APPEND PROPERTY ENVIRONMENT "POSTERN_WALKS=20000" "POSTERN_SEED=20260101")
postern_system_test(directory COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/directory_test.py" $<TARGET_FILE:directory-ask>)
postern_system_test(setup COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/setup_test.py")
postern_system_test(systemd COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/systemd_test.py")
postern_system_test(service COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/daemon_service_test.py" Service)
postern_system_test(end LABEL long COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/daemon_end_test.py")
# fipsd with SoftHSM2, alone and under mail.
add_executable(memory-scan support/memory_scan.cc)
target_link_libraries(memory-scan PRIVATE postern_flags)
postern_system_test(officer COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/officer_test.py")
postern_system_test(keys COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/keys_test.py")
postern_system_test(custody COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/custody_test.py")
set_property(TEST system-custody APPEND PROPERTY ENVIRONMENT "POSTERN_DKIM_VERIFY=$<TARGET_FILE:dkim-verify>"
  "POSTERN_MEMORY_SCAN=$<TARGET_FILE:memory-scan>")
find_program(SYSTEMD_ANALYZE systemd-analyze)
if(SYSTEMD_ANALYZE)
  postern_system_test(unit COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/daemon_service_test.py" Unit)
endif()
if(TARGET fipsconfig AND NOT POSTERN_SANITIZE)
  # A module with a sanitizer in it does not load into a program without one; unit-provider runs the same code built in.
  postern_system_test(provider COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/provider_test.py")
  postern_system_test(postfix-tls COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/postfix_tls_test.py")
endif()
