postern_unit_test(submit
  SOURCES unit/submit_mark_test.cc unit/submit_mbox_test.cc unit/submit_smtp_test.cc
  LINK postern_submit)
