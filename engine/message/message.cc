// SPDX-License-Identifier: Apache-2.0
// Message: structure and texts are made at the first question and kept, because a body under edit is still judged as it
// was received; only the header list shows its edits. Decoded text is bounded for the whole message: a part past the
// bound is undecodable, which no rule takes for clean.
#include "engine/message/message.h"

#include <algorithm>
#include <utility>

#include "engine/base/text.h"
#include "engine/mime/parser.h"

namespace postern::message {

namespace {

// Leaves one field `name` with `value`, where the first one stood or else at the end; none when `value` is empty.
void set_single(mime::HeaderList& headers, std::string_view name, std::string_view value) {
  const size_t first = headers.find(name);
  for (size_t i = headers.size(); i-- > 0;) {
    if ((i != first || value.empty()) && base::iequals(headers[i].name, name)) headers.remove(i);
  }
  if (value.empty()) return;
  if (first == mime::HeaderList::npos) {
    headers.append(name, value);
  } else if (mime::unfold(headers[first].value) != mime::unfold(value)) {
    headers.change(first, value);
  }
}

}  // namespace

namespace {

// The header as received: an edited Content-Type says nothing about the body.
mime::HeaderList received_header(const mime::HeaderList& headers) {
  mime::HeaderList received;
  for (const mime::HeaderField& field : headers.received()) received.add_received(field.name, field.value);
  return received;
}

}  // namespace

bool Message::take(uint64_t bytes) {
  if (lacking_.empty() && bytes > 0 && reserve && !reserve(bytes)) lack("limits.memory");
  return lacking_.empty();
}

const mime::Structure& Message::structure() {
  if (structure_) return *structure_;
  const auto parse = [&](const mime::HeaderList& header) {
    structure_ = std::make_unique<mime::Structure>(mime::parse(header, received_body(), limits_));
  };
  if (headers.edited()) {
    parse(received_header(headers));
  } else {
    parse(headers);
  }
  return *structure_;
}

mime::OtherReadings Message::other_readings(std::span<const uint32_t> odd) {
  mime::ReadingBounds bounds;
  bounds.reserve = [this](uint64_t bytes) { return take(bytes); };
  const mime::Structure& tree = structure();
  const auto ask = [&](const mime::HeaderList& header) {
    return mime::other_readings(header, tree, received_body(), limits_, odd, bounds);
  };
  return headers.edited() ? ask(received_header(headers)) : ask(headers);
}

const mime::Text& Message::text(uint32_t part) {
  const mime::Structure& tree = structure();
  if (part >= tree.parts.size()) {
    static const mime::Text kNone{.utf8 = "", .damaged = true, .undecodable = true};
    return kNone;
  }
  if (texts_.size() < tree.parts.size()) texts_.resize(tree.parts.size());
  if (texts_[part]) return *texts_[part];
  auto text = std::make_unique<mime::Text>();
  // Base64 gives three bytes for four and every other coding less: what cannot fit is not even tried.
  const uint64_t left = limits_.decoded_text - std::min(limits_.decoded_text, decoded_bytes_);
  const mime::Part& leaf = tree.parts[part];
  const uint64_t expected = mime::decoded_bound(leaf);
  const bool tried = leaf.content.size() / 4 <= left && take(expected);
  if (tried) *text = mime::decode_text(leaf, received_body());
  // Some charsets become longer as UTF-8.
  const bool room = tried && text->utf8.size() <= left;
  if (!room || !take(text->utf8.size() - std::min<uint64_t>(text->utf8.size(), expected))) {
    *text = mime::Text{.utf8 = "", .damaged = true, .undecodable = true};
  }
  decoded_bytes_ += text->utf8.size();
  texts_[part] = std::move(text);
  return *texts_[part];
}

bool Message::edit_part(mime::PartEdit edit) {
  const mime::Structure& tree = structure();
  if (replaced_ || edit.part >= tree.parts.size()) return false;
  if (part_removed(edit.part)) return edit.remove;
  const auto same =
      std::find_if(edits_.begin(), edits_.end(), [&](const mime::PartEdit& known) { return known.part == edit.part; });
  if (same == edits_.end()) {
    edits_.push_back(std::move(edit));
  } else {
    *same = std::move(edit);
  }
  return true;
}

bool Message::part_removed(uint32_t part) const {
  if (edits_.empty()) return false;
  const auto edit_of = [this](uint32_t index) {
    return std::find_if(edits_.begin(), edits_.end(),
                        [index](const mime::PartEdit& edit) { return edit.part == index; });
  };
  if (const auto own = edit_of(part); own != edits_.end() && own->remove) return true;
  if (!structure_) return false;
  while (part < structure_->parts.size() && structure_->parts[part].parent != part) {
    part = structure_->parts[part].parent;
    if (edit_of(part) != edits_.end()) return true;
  }
  return false;
}

void Message::replace_body(std::string content_type, std::string transfer_encoding, mime::Pieces content) {
  replaced_ = std::move(content);
  set_single(headers, "Content-Type", content_type);
  set_single(headers, "Content-Transfer-Encoding", transfer_encoding);
  // These told of the body that is gone.
  for (const char* name : {"Content-Disposition", "Content-MD5", "Content-Length"}) set_single(headers, name, "");
  set_single(headers, "MIME-Version", "1.0");
}

mime::Pieces Message::final_body() {
  if (replaced_) {
    mime::Pieces copy;
    for (const std::string_view view : replaced_->views()) copy.add_view(view);
    return copy;
  }
  if (!edits_.empty()) return mime::write_body(structure(), received_body(), edits_);
  mime::Pieces same;
  same.add_view(received_body());
  return same;
}

std::string Message::whole() {
  const mime::Pieces body = final_body();
  std::string out = mime::write_fields({headers.begin(), headers.end()});
  out.reserve(out.size() + body.size() + 2);
  out += "\r\n";
  for (const std::string_view view : body.views()) out += view;
  return out;
}

}  // namespace postern::message
