postern_unit_test(milter
  SOURCES unit/milter_session_test.cc unit/milter_pipeline_test.cc unit/milter_reply_test.cc unit/milter_control_test.cc
    unit/milter_sign_test.cc unit/milter_background_test.cc unit/milter_keep_test.cc unit/milter_tracker_test.cc unit/milter_store_keys_test.cc
  LINK postern_milter_session postern_soft_keys nlohmann_json::nlohmann_json)
postern_unit_test(milter-mail SOURCES unit/milter_mail_test.cc LINK postern_milter_session postern_milter_mail nlohmann_json::nlohmann_json)
postern_unit_test(findevent SOURCES unit/findevent_test.cc LINK postern_cli)
