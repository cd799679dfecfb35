# fipsd's settings, its policy and the backup file; fipsconfig.
postern_unit_test(fipsd-settings SOURCES unit/fipsd_settings_test.cc LINK postern_keystore_settings nlohmann_json::nlohmann_json)
postern_unit_test(fipsd-policy SOURCES unit/fipsd_policy_test.cc LINK postern_keystore_settings)
postern_unit_test(backup SOURCES unit/backup_test.cc LINK postern_keystore_backup)
