// SPDX-License-Identifier: Apache-2.0
// OptionReader: typed reading of a configuration file's YAML values by their rows in its option table. A value of the
// wrong kind is reported at its place and leaves the target as it was. Used by one thread during a load.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/log.h"
#include "engine/config/options.h"
#include "engine/config/source.h"
#include "engine/config/yaml.h"

namespace postern::config {

class OptionReader {
 public:
  OptionReader(const Sources& sources, Diagnostics& diagnostics, std::span<const OptionRow> table)
      : sources_(sources), diagnostics_(diagnostics), table_(table) {}

  void error(const Node& node, std::string message, std::string hint = {});
  void warning(const Node& node, std::string message, std::string hint = {});

  // check_key reports a key that may not stand under `parent` ("" for the top, "flows[]"), with the nearest one that
  // may.
  void check_key(const Node& key, std::string_view parent);

  // Each reads the last segment of `path` out of `map`, checked against the row of `path`.
  void text(const Node& map, std::string_view path, std::string& to);
  void size(const Node& map, std::string_view path, uint64_t& to);
  void duration(const Node& map, std::string_view path, uint64_t& to);
  // integer gives 0 for a word that the row's `choices` allow instead of a number ("auto").
  void integer(const Node& map, std::string_view path, uint32_t& to);
  // socket_mode reads octal digits that leave owner rights to read and write; a mode for everybody gets a warning.
  void socket_mode(const Node& map, std::string_view path, uint32_t& to);
  // check_socket_path reports a path too long for a Unix socket.
  void check_socket_path(const Node& node, const std::string& path);
  // log reads the keys of `log`, a map with "to" and "level"; a file's path counts from `folder`.
  void log(const Node& root, const std::string& folder, base::LogTarget& to);

  bool boolean(const Node& value);
  // map returns the map under the top key `name`, after checking its keys where the table names them; nullptr when it
  // is absent or empty.
  const Node* map(const Node& root, std::string_view name);
  // items returns the scalars of a list; a single scalar counts as a list of one.
  std::vector<const Node*> items(const Node& value);

 private:
  const Node* scalar(const Node& map, std::string_view path);
  void number(const Node& map, std::string_view path, uint64_t& to);
  const Sources& sources_;
  Diagnostics& diagnostics_;
  std::span<const OptionRow> table_;
};

}  // namespace postern::config
