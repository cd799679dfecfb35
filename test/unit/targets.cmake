# First, since it lends its precompiled headers and nothing but postern_base may have left a definition in them.
postern_unit_test(base SOURCES unit/base_log_test.cc unit/base_text_test.cc unit/base_privilege_test.cc LINK postern_base)
include(unit/rules_content.cmake)
include(unit/match.cmake)
include(unit/x509.cmake)
include(unit/milter.cmake)
include(unit/rules_eval.cmake)
include(unit/token.cmake)

add_library(postern_fake_mta STATIC support/fake_mta.cc support/changes_case.cc)
target_link_libraries(postern_fake_mta PUBLIC postern_message)
postern_unit_test(message
  SOURCES unit/message_spool_test.cc unit/message_address_test.cc unit/message_changes_test.cc
    unit/message_golden_test.cc unit/message_edit_test.cc
  LINK postern_fake_mta postern_message)
if(POSTERN_CORPUS)
  postern_unit_test(message-corpus SOURCES unit/message_corpus_test.cc LINK postern_fake_mta postern_message)
endif()
add_executable(changes-dump support/changes_dump.cc)
target_link_libraries(changes-dump PRIVATE postern_fake_mta nlohmann_json::nlohmann_json)
add_executable(address-dump support/address_dump.cc)
target_link_libraries(address-dump PRIVATE postern_message nlohmann_json::nlohmann_json)
add_test(NAME unit-address-crosscheck COMMAND ${PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/unit/address_crosscheck.py" $<TARGET_FILE:address-dump>)
set_tests_properties(unit-address-crosscheck PROPERTIES LABELS "ci;unit" TIMEOUT 300)
postern_unit_test(config SOURCES unit/config_source_test.cc unit/config_yaml_test.cc LINK postern_config postern_base)
postern_unit_test(rules-load
  SOURCES unit/rules_values_test.cc unit/rules_load_test.cc unit/rules_golden_test.cc
  LINK postern_rules)
include(unit/mime.cmake)
postern_unit_test(settings SOURCES unit/settings_test.cc LINK postern_milter_core nlohmann_json::nlohmann_json)
postern_unit_test(rules-prefilter SOURCES unit/rules_prefilter_test.cc LINK postern_rules)
include(unit/protocol.cmake)
include(unit/auth.cmake)
include(unit/front.cmake)
include(unit/directory.cmake)
include(unit/vault.cmake)
include(unit/provider.cmake)
include(unit/store.cmake)
include(unit/submit.cmake)
