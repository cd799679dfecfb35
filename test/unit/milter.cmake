postern_unit_test(milter
  SOURCES unit/milter_session_test.cc unit/milter_pipeline_test.cc unit/milter_reply_test.cc unit/milter_control_test.cc
    unit/milter_sign_test.cc unit/milter_keep_test.cc
  LINK postern_milter_session postern_soft_keys nlohmann_json::nlohmann_json)
