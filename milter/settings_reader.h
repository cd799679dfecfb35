// SPDX-License-Identifier: Apache-2.0
// SettingsReader: typed reading of YAML values by their rows in the option table. A value of the wrong kind is reported
// at its place and leaves the target as it was.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/source.h"
#include "engine/config/yaml.h"

namespace postern::milter {

class SettingsReader {
 public:
  SettingsReader(const config::Sources& sources, config::Diagnostics& diagnostics)
      : sources_(sources), diagnostics_(diagnostics) {}

  void error(const config::Node& node, std::string message, std::string hint = {});
  void warning(const config::Node& node, std::string message, std::string hint = {});

  // check_key reports a key that may not stand under `parent` ("" for the top, "flows[]"), with the nearest one that
  // may.
  void check_key(const config::Node& key, std::string_view parent);

  // Each reads the last segment of `path` out of `map`, checked against the row of `path`.
  void text(const config::Node& map, std::string_view path, std::string& to);
  void size(const config::Node& map, std::string_view path, uint64_t& to);
  void duration(const config::Node& map, std::string_view path, uint64_t& to);
  void integer(const config::Node& map, std::string_view path, uint32_t& to);

  bool boolean(const config::Node& value);
  // map returns the map under the top key `name`, after checking its keys where the table names them; nullptr when it
  // is absent or empty.
  const config::Node* map(const config::Node& root, std::string_view name);
  // items returns the scalars of a list; a single scalar counts as a list of one.
  std::vector<const config::Node*> items(const config::Node& value);

 private:
  const config::Node* scalar(const config::Node& map, std::string_view path);
  void number(const config::Node& map, std::string_view path, uint64_t& to);
  const config::Sources& sources_;
  config::Diagnostics& diagnostics_;
};

}  // namespace postern::milter
