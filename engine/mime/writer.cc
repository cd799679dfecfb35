// SPDX-License-Identifier: Apache-2.0
// An edit becomes the replacement of one byte range by a text; ranges come out of the parse in ascending order and
// never overlap, because edits inside a replaced range are dropped. All else is views into the received body.
#include "engine/mime/writer.h"

#include <algorithm>

namespace postern::mime {
namespace {

struct Replacement {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string text;
};

constexpr std::string_view kEmptyPartHeader = "Content-Type: text/plain; charset=us-ascii\r\n";

bool is_line_end(char c) { return c == '\r' || c == '\n'; }

// replace_part gives part `part` another header and content. The line end behind the content stays where there is one.
Replacement replace_part(const Part& part, std::string_view body, std::string_view header, std::string_view content) {
  Replacement out{part.header.begin, part.content.end, {}};
  out.text.reserve(header.size() + content.size() + 4);
  out.text.append(header);
  if (!header.empty() && !header.ends_with('\n')) out.text += "\r\n";
  out.text += "\r\n";
  out.text.append(content);
  const bool delimiter_follows = out.end < body.size() && !is_line_end(body[out.end]);
  if (delimiter_follows) out.text += "\r\n";
  return out;
}

// remove_part takes a part out with the delimiter line before it. Where no delimiter of its own multipart follows, the
// line end before it goes instead of the one behind it.
Replacement remove_part(const Part& part, const Part& parent, std::string_view body) {
  Replacement out{part.outer.begin, part.outer.end, {}};
  const bool delimiter_follows =
      out.end > 0 && out.end < body.size() && body.substr(out.end).starts_with("--") && is_line_end(body[out.end - 1]);
  if (!delimiter_follows) {
    if (out.begin > parent.content.begin && body[out.begin - 1] == '\n') --out.begin;
    if (out.begin > parent.content.begin && body[out.begin - 1] == '\r') --out.begin;
  }
  return out;
}

}  // namespace

void Pieces::add_view(std::string_view view) {
  if (view.empty()) return;
  size_ += view.size();
  // Neighbouring views of one text are one piece.
  if (!views_.empty() && views_.back().data() + views_.back().size() == view.data()) {
    views_.back() = {views_.back().data(), views_.back().size() + view.size()};
    return;
  }
  views_.push_back(view);
}

void Pieces::add_text(std::string text) {
  if (text.empty()) return;
  size_ += text.size();
  views_.emplace_back(owned_.emplace_back(std::move(text)));
}

std::string Pieces::flatten() const {
  std::string out;
  out.reserve(size_);
  for (const std::string_view view : views_) out.append(view);
  return out;
}

Pieces write_body(const Structure& structure, std::string_view body, const std::vector<PartEdit>& edits) {
  const std::vector<Part>& parts = structure.parts;
  std::vector<const PartEdit*> of_part(parts.size(), nullptr);
  for (const PartEdit& edit : edits) {
    if (edit.part < parts.size()) of_part[edit.part] = &edit;
  }
  Pieces out;
  if (!parts.empty() && of_part[0] != nullptr) {
    out.add_text(of_part[0]->remove ? std::string() : of_part[0]->content);
    return out;
  }

  // How many children stay in each multipart, so that the last one leaves an empty part behind.
  std::vector<uint32_t> left(parts.size(), 0);
  for (size_t i = 1; i < parts.size(); ++i) ++left[parts[i].parent];

  std::vector<Replacement> replacements;
  uint64_t done = 0;  // no range may begin before
  for (size_t i = 1; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const PartEdit* edit = of_part[i];
    if (edit == nullptr || part.outer.begin < done) continue;
    const Part& parent = parts[part.parent];
    if (!edit->remove) {
      replacements.push_back(replace_part(part, body, edit->header, edit->content));
    } else if (parent.kind == PartKind::message || left[part.parent] == 1) {
      replacements.push_back(replace_part(part, body, kEmptyPartHeader, ""));
    } else {
      --left[part.parent];
      replacements.push_back(remove_part(part, parent, body));
    }
    Replacement& last = replacements.back();
    last.begin = std::max(last.begin, done);
    done = std::max(last.end, part.outer.end);
  }

  uint64_t at = 0;
  for (Replacement& replacement : replacements) {
    out.add_view(body.substr(at, replacement.begin - at));
    out.add_text(std::move(replacement.text));
    at = replacement.end;
  }
  out.add_view(body.substr(at));
  return out;
}

}  // namespace postern::mime
