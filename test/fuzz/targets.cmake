
postern_fuzz_target(address LINK postern_message)
postern_fuzz_target(changes LINK postern_fake_mta)
postern_fuzz_target(rule_expression LINK postern_rules)
postern_fuzz_target(rules_yaml LINK postern_rules)
postern_fuzz_target(filters LINK postern_rules)
include(fuzz/mime.cmake)
postern_fuzz_target(yaml LINK postern_milter_core)
postern_fuzz_target(regex LINK postern_match)
