# Evaluation of filters: rules, logic, actions, body edits and the golden folders of test/golden/filters.
postern_unit_test(rules-eval TIMEOUT 600
  SOURCES unit/rules_eval_rules_test.cc unit/rules_eval_logic_test.cc unit/rules_eval_actions_test.cc unit/rules_eval_body_test.cc unit/rules_mail_test.cc
    unit/rules_eval_directory_test.cc unit/rules_scan_test.cc unit/golden_filters_test.cc
  LINK postern_rules)
