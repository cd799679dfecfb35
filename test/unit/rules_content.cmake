# SPDX-License-Identifier: Apache-2.0
# Content: what rules and actions see in and do to body, attachments and dictionaries.
postern_unit_test(rules-content TIMEOUT 600
  SOURCES unit/rules_content_test.cc unit/rules_dictionary_file_test.cc unit/rules_html_test.cc unit/rules_poison_test.cc unit/rules_text_actions_test.cc
  LINK postern_rules)
if(POSTERN_CORPUS)
  postern_unit_test(rules-corpus TIMEOUT 600 SOURCES unit/rules_corpus_test.cc LINK postern_rules)
endif()
