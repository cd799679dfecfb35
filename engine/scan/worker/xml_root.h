// SPDX-License-Identifier: Apache-2.0
// XmlRoot: the first element of an XML document, told from the document's beginning without a parser.
#pragma once
#include <string>
#include <string_view>

namespace postern::scan::worker {

struct XmlRoot {
  std::string name;   // without its prefix
  std::string space;  // the namespace it is in, as it is written; empty where there is none, or it has references in it
};

// root_of looks at a document of which `head` is the beginning, in UTF-8 or UTF-16; its name is empty where the whole
// tag is not in it, or something else comes before.
XmlRoot root_of(std::string_view head);

}  // namespace postern::scan::worker
