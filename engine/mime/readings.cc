// SPDX-License-Identifier: Apache-2.0
// A search over entities (header and content): each is cut at every place where some reader ends its header, split at
// the lines that some reader takes for delimiters, and what is left is decoded in every way its header allows. Entities
// wait in a list, so nothing recurses; one seen before, at the same place, is not read again. What differs from reader
// to reader only in how the tree is drawn ends at the same leaves, so closing delimiters, nesting and parents are of no
// interest here: a delimiter is a place to cut.
#include "engine/mime/readings.h"

#include <algorithm>
#include <deque>
#include <set>
#include <tuple>

#include "engine/base/text.h"
#include "engine/mime/delimiters.h"
#include "engine/mime/loose_header.h"
#include "engine/mime/other_decodings.h"
#include "engine/mime/part_header.h"

namespace postern::mime {
namespace {

constexpr size_t kMostEntities = 8000;
constexpr size_t kMostCharsets = 4;

std::string_view without_end(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

class Search {
 public:
  Search(const Structure& structure, std::string_view body, const base::Limits& limits, const ReadingBounds& bounds)
      : structure_(structure), body_(body), limits_(limits), bounds_(bounds) {
    buffers_.push_back({{}, body, 0, true, {}, false});
  }

  // whole reads the message from its beginning in every way.
  void whole(const HeaderList& header);
  // one reads one part of the structure so.
  void one(uint32_t part);
  // charsets adds a leaf's text in the other character sets that its header names.
  void charsets(uint32_t part);
  // decodings adds the other ways to decode a leaf that its own reading decodes with faults.
  void decodings(uint32_t part);

  OtherReadings take() { return std::move(out_); }

 private:
  // Buffer is the body, or something decoded in which there may be parts.
  struct Buffer {
    std::string owned;
    std::string_view bytes;
    uint32_t part = 0;  // of the structure, where it was found
    bool is_body = false;
    DelimiterLines lines;  // made when first needed
    bool has_lines = false;
  };
  struct Entity {
    size_t buffer = 0;
    size_t begin = 0;
    size_t end = 0;
    uint32_t depth = 0;
    std::string_view why;
  };
  // Content is what a header says about a stretch of a buffer.
  struct Content {
    Entity at;
    const LooseHeader* header = nullptr;
    bool odd = false;  // not every reader sees this header
  };
  struct Known {
    size_t hash = 0;
    size_t size = 0;
    bool of_structure = false;
    uint32_t index = 0;  // into parts or readings
  };

  bool spend(uint64_t work) {
    if (work > bounds_.work - work_) {
      out_.complete = false;
      stopped_ = true;
      return false;
    }
    work_ += work;
    return true;
  }
  std::string_view text(const Entity& at) const {
    return buffers_[at.buffer].bytes.substr(at.begin, at.end - at.begin);
  }

  void push(const Entity& entity);
  void run();
  void read(const Entity& entity);
  void read_content(const Content& content);
  bool split(const Entity& content, const std::vector<std::string>& boundaries);
  void read_decoded(const Content& content, TransferEncoding encoding, std::string_view why);
  void read_leaf(const Content& content, const std::vector<TransferEncoding>& named, bool certain);
  // emit decodes and adds a leaf; by the label of a header also in the ways in which readers differ over it.
  void emit(const Content& content, TransferEncoding encoding, std::string_view why, bool labelled);
  // add adds a reading whose content is new; false where there is no room for it.
  bool add(OtherReading reading, uint32_t part);
  // add_decodings adds what readers make of `raw` that decode it otherwise, each described as `like` is.
  void add_decodings(TransferEncoding encoding, std::string_view raw, OtherReading like, uint32_t part);
  // hold takes room for `bytes` bytes of decoded content; false where there is none.
  bool hold(uint64_t bytes);
  bool is_known(std::string_view bytes, size_t hash);
  void know_structure();
  uint32_t part_at(const Entity& at) const;
  void describe(OtherReading& reading, const LooseHeader& header) const;

  const Structure& structure_;
  std::string_view body_;
  const base::Limits& limits_;
  ReadingBounds bounds_;
  OtherReadings out_;
  std::deque<Buffer> buffers_;
  std::vector<Entity> waiting_;
  std::set<std::tuple<size_t, size_t, size_t>> seen_;                          // entities
  std::set<std::tuple<size_t, size_t, size_t, TransferEncoding>> leaves_;      // contents decoded
  std::set<std::tuple<size_t, size_t, size_t, TransferEncoding>> containers_;  // the same, to look for parts in them
  std::vector<Known> known_;
  bool knows_structure_ = false;
  uint64_t work_ = 0;
  uint64_t bytes_ = 0;
  bool stopped_ = false;
};

void Search::push(const Entity& entity) {
  if (stopped_ || base::trim(text(entity)).empty()) return;
  if (!seen_.insert({entity.buffer, entity.begin, entity.end}).second) return;
  if (seen_.size() > kMostEntities || entity.depth > limits_.mime_depth) {
    out_.complete = false;
    return;
  }
  waiting_.push_back(entity);
}

void Search::run() {
  while (!waiting_.empty() && !stopped_) {
    const Entity entity = waiting_.back();
    waiting_.pop_back();
    read(entity);
  }
  waiting_.clear();
}

void Search::read(const Entity& entity) {
  const std::string_view all = text(entity);
  const HeaderCuts cuts = header_cuts(all, limits_.header_size);
  if (!cuts.complete) out_.complete = false;
  if (!spend(cuts.work)) return;
  for (const HeaderCut& cut : cuts.list) {
    const LooseHeader header = loose_header(all.substr(cut.begin, cut.end - cut.begin));
    Entity at = entity;
    at.begin += cut.content;
    if (at.begin >= at.end) continue;
    read_content({at, &header, cut.odd || header.odd});
  }
}

void Search::read_content(const Content& content) {
  if (stopped_) return;
  const LooseHeader& header = *content.header;
  if (header.more) out_.complete = false;
  bool multipart = false;
  bool message = false;
  bool other = header.types.empty();
  bool malformed = content.odd || header.types.size() > 1;
  for (const std::string& raw : header.types) {
    const StructuredValue type = parse_content_type(raw);
    const std::string low = base::lower(raw.substr(0, 256));
    const bool is_multipart = type.value.starts_with("multipart/") ||
                              ((type.malformed || type.value.empty()) && low.find("multipart") != std::string::npos);
    const bool is_message = type.value.starts_with("message/") && type.value != "message/external-body";
    multipart = multipart || is_multipart;
    message = message || is_message;
    other = other || (!is_multipart && !is_message);
    malformed = malformed || type.malformed || type.duplicate_parameter;
  }
  const std::vector<std::string> boundaries = loose_boundaries(header);
  if (boundaries.size() >= kMostBoundaries) out_.complete = false;
  bool certain = true;
  const std::vector<TransferEncoding> encodings = loose_encodings(header, certain);
  certain = (certain || header.encodings.empty()) && !content.odd;
  Entity at = content.at;
  ++at.depth;
  bool was_split = false;
  if (multipart || !boundaries.empty()) was_split = split(at, boundaries);
  if (message) push({at.buffer, at.begin, at.end, at.depth, "message"});
  if (multipart || message || !boundaries.empty()) {
    for (const TransferEncoding encoding : encodings) {
      if (encoding != TransferEncoding::identity) read_decoded(content, encoding, "encoded container");
    }
    if (multipart && encodings.empty() && !was_split && looks_base64(text(at))) {
      read_decoded(content, TransferEncoding::base64, "encoded container");
    }
  }
  if (other || malformed || (multipart && !was_split)) read_leaf(content, encodings, certain);
}

bool Search::split(const Entity& content, const std::vector<std::string>& boundaries) {
  Buffer& buffer = buffers_[content.buffer];
  if (!buffer.has_lines) {
    buffer.has_lines = true;
    if (!spend(buffer.bytes.size())) return false;
    buffer.lines = delimiter_lines(buffer.bytes);
    if (!buffer.lines.complete) out_.complete = false;
  }
  const DelimiterSets sets = delimiter_sets(buffer.bytes, buffer.lines, content.begin, content.end, boundaries);
  if (!sets.complete) out_.complete = false;
  if (!spend(sets.work)) return false;
  for (const DelimiterSet& set : sets.list) {
    size_t begin = content.begin;
    for (const DelimiterLine& line : set.lines) {
      if (line.text_end >= begin) push({content.buffer, begin, line.text_end, content.depth, set.why});
      begin = line.next;
      if (stopped_) return true;
    }
    if (begin < content.end) push({content.buffer, begin, content.end, content.depth, set.why});
  }
  return !sets.list.empty();
}

void Search::read_decoded(const Content& content, TransferEncoding encoding, std::string_view why) {
  if (!containers_.insert({content.at.buffer, content.at.begin, content.at.end, encoding}).second) return;
  const std::string_view encoded = text(content.at);
  if (!spend(2 * encoded.size())) return;
  std::string decoded = decode_transfer(encoding, encoded).bytes;
  if (!hold(decoded.size())) return;
  buffers_.push_back({std::move(decoded), {}, part_at(content.at), false, {}, false});
  Buffer& buffer = buffers_.back();
  buffer.bytes = buffer.owned;
  const Entity inner{buffers_.size() - 1, 0, buffer.bytes.size(), content.at.depth + 1, why};
  // A message begins with a header; of a multipart the content alone is encoded.
  push(inner);
  split(inner, loose_boundaries(*content.header));
}

void Search::read_leaf(const Content& content, const std::vector<TransferEncoding>& named, bool certain) {
  const std::string_view all = text(content.at);
  const std::string_view why = content.at.why;
  if (base::trim(all).empty()) return;
  for (const TransferEncoding encoding : named) emit(content, encoding, certain ? why : "transfer encoding", true);
  if (named.empty() || !certain) emit(content, TransferEncoding::identity, why, false);
  if (certain || !spend(all.size())) return;
  if (looks_base64(all)) emit(content, TransferEncoding::base64, "transfer encoding", false);
  if (looks_quoted_printable(all)) emit(content, TransferEncoding::quoted_printable, "transfer encoding", false);
  if (looks_uuencoded(all)) emit(content, TransferEncoding::uuencode, "transfer encoding", false);
}

void Search::emit(const Content& content, TransferEncoding encoding, std::string_view why, bool labelled) {
  if (stopped_) return;
  know_structure();
  const Entity& at = content.at;
  if (!leaves_.insert({at.buffer, at.begin, at.end, encoding}).second) return;
  const std::string_view raw = text(at);
  if (!spend(3 * raw.size())) return;
  OtherReading reading;
  describe(reading, *content.header);
  reading.why = why;
  const uint32_t part = part_at(at);
  if (encoding == TransferEncoding::identity && buffers_[at.buffer].is_body) {
    reading.in_body = true;
    reading.span = {at.begin, at.end};
    add(std::move(reading), part);
    return;
  }
  OtherReading first = reading;
  Decoded decoded = decode_transfer(encoding, raw);
  const bool odd = decoded.odd;
  first.decoded = std::move(decoded.bytes);
  add(std::move(first), part);
  if (odd && labelled) add_decodings(encoding, raw, std::move(reading), part);
}

void Search::add_decodings(TransferEncoding encoding, std::string_view raw, OtherReading like, uint32_t part) {
  // A byte at a time through switches is slower than what `work` is counted in.
  constexpr uint64_t kCost = 4;
  like.why = "damaged encoding";
  other_decodings(encoding, raw,
                  {[&](uint64_t bytes) { return !stopped_ && spend(kCost * bytes); },
                   [&](std::string bytes) {
                     if (!spend(bytes.size())) return false;
                     OtherReading other = like;
                     other.decoded = std::move(bytes);
                     return add(std::move(other), part);
                   }});
}

bool Search::hold(uint64_t bytes) {
  if (bytes > bounds_.bytes - bytes_ || (bounds_.reserve && !bounds_.reserve(bytes))) {
    out_.complete = false;
    return false;
  }
  bytes_ += bytes;
  return true;
}

bool Search::add(OtherReading reading, uint32_t part) {
  const std::string_view bytes = without_end(reading.bytes(body_));
  if (bytes.empty()) return true;
  const size_t hash = std::hash<std::string_view>()(bytes);
  if (is_known(bytes, hash)) return true;
  if (out_.list.size() >= bounds_.count) {
    out_.complete = false;
    stopped_ = true;
    return false;
  }
  if (!hold(reading.decoded.size())) return false;
  reading.part = part;
  reading.path = structure_.parts[part].path;
  known_.push_back({hash, bytes.size(), false, static_cast<uint32_t>(out_.list.size())});
  out_.list.push_back(std::move(reading));
  return true;
}

bool Search::is_known(std::string_view bytes, size_t hash) {
  return std::ranges::any_of(known_, [&](const Known& known) {
    if (known.hash != hash || known.size != bytes.size()) return false;
    if (!known.of_structure) return without_end(out_.list[known.index].bytes(body_)) == bytes;
    const Part& part = structure_.parts[known.index];
    if (!spend(part.content.size())) return false;
    return without_end(decode_content(part, body_).bytes) == bytes;
  });
}

void Search::know_structure() {
  if (knows_structure_) return;
  knows_structure_ = true;
  for (uint32_t i = 0; i < structure_.parts.size(); ++i) {
    const Part& part = structure_.parts[i];
    if (!part.is_leaf() || !spend(2 * part.content.size())) continue;
    const TransferEncoding encoding =
        part.encoding == TransferEncoding::unknown ? TransferEncoding::identity : part.encoding;
    leaves_.insert({0, part.content.begin, part.content.end, encoding});
    const std::string decoded = decode_content(part, body_).bytes;
    const std::string_view bytes = without_end(decoded);
    known_.push_back({std::hash<std::string_view>()(bytes), bytes.size(), true, i});
  }
}

uint32_t Search::part_at(const Entity& at) const {
  const Buffer& buffer = buffers_[at.buffer];
  if (!buffer.is_body) return buffer.part;
  uint32_t found = 0;
  for (uint32_t i = 0; i < structure_.parts.size(); ++i) {
    const Span& outer = structure_.parts[i].outer;
    if (outer.begin <= at.begin && at.begin < outer.end) found = i;
  }
  return found;
}

void Search::describe(OtherReading& reading, const LooseHeader& header) const {
  const auto add_names = [&](const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (reading.file_names.size() < kMostFileNames &&
          std::ranges::find(reading.file_names, name) == reading.file_names.end()) {
        reading.file_names.push_back(name);
      }
    }
  };
  for (const std::string& raw : header.dispositions) {
    add_names(file_names({}, parse_disposition(raw)));
    add_names(loose_names(raw));
  }
  for (const std::string& raw : header.types) {
    const StructuredValue type = parse_content_type(raw);
    if (reading.type.empty()) reading.type = type.value;
    if (reading.charset.empty()) reading.charset = type.get("charset");
    add_names(file_names(type, {}));
    if (type.malformed) add_names(loose_names(raw));
  }
}

void Search::whole(const HeaderList& header) {
  LooseHeader root = loose_header(std::span<const HeaderField>(header.begin(), header.end()));
  const Entity body{0, 0, body_.size(), 0, "header"};
  read_content({body, &root, root.odd || root.types.size() > 1 || root.encodings.size() > 1});
  // Lines at the beginning of the body that belong to the header for a reader that ends it later.
  const HeaderCuts cuts = header_cuts(body_, limits_.header_size);
  if (!cuts.complete) out_.complete = false;
  if (!spend(cuts.work)) return;
  for (const HeaderCut& cut : cuts.list) {
    LooseHeader more = loose_header(body_.substr(cut.begin, cut.end - cut.begin));
    if (more.is_empty()) continue;
    read_content({{0, cut.content, body_.size(), 0, "end of header"}, &more, true});
    merge(more, root);
    read_content({{0, cut.content, body_.size(), 0, "end of header"}, &more, true});
  }
  run();
}

void Search::one(uint32_t index) {
  const Part& part = structure_.parts[index];
  const LooseHeader header = loose_header(std::span<const HeaderField>(part.fields));
  read_content({{0, part.content.begin, part.content.end, part.depth, "header"}, &header, true});
  run();
}

void Search::charsets(uint32_t index) {
  const Part& part = structure_.parts[index];
  // The same content in another character set is another text.
  if (!part.is_leaf() || !part.is_text()) return;
  std::vector<std::string> charsets{std::string(part.type.get("charset"))};
  for (const Parameter& each : part.type.parameters) {
    const bool again = each.name != "charset" || charsets.size() > kMostCharsets ||
                       std::ranges::any_of(charsets, [&](const auto& old) { return base::iequals(old, each.value); });
    if (again || out_.list.size() >= bounds_.count || !spend(part.content.size())) continue;
    charsets.push_back(each.value);
    OtherReading reading;
    reading.part = index;
    reading.path = part.path;
    reading.type = part.type.value;
    reading.charset = each.value;
    reading.file_names = part.file_names;
    reading.why = "charset";
    reading.decoded = decode_content(part, body_).bytes;
    if (!hold(reading.decoded.size())) continue;
    out_.list.push_back(std::move(reading));
  }
}

void Search::decodings(uint32_t index) {
  if (index >= structure_.parts.size() || stopped_) return;
  const Part& part = structure_.parts[index];
  if (!part.is_leaf()) return;
  know_structure();
  OtherReading like;
  like.type = part.type.value;
  like.charset = part.type.get("charset");
  like.file_names = part.file_names;
  add_decodings(part.encoding, part.content.of(body_), std::move(like), index);
}

}  // namespace

OtherReadings other_readings(const HeaderList& header, const Structure& structure, std::string_view body,
                             const base::Limits& limits, std::span<const uint32_t> odd, const ReadingBounds& bounds) {
  const auto recoded = [](const Part& part) { return part.other_encoding; };
  if (structure.one_reading && odd.empty() && std::ranges::none_of(structure.parts, recoded)) return {};
  Search search(structure, body, limits, bounds);
  for (uint32_t i = 0; i < structure.parts.size(); ++i) {
    if (!structure.parts[i].other_encoding) continue;
    search.charsets(i);
    if (i > 0) search.one(i);
  }
  if (!structure.one_reading || structure.parts[0].other_encoding) search.whole(header);
  for (const uint32_t index : odd) search.decodings(index);
  OtherReadings found = search.take();
  if (std::ranges::any_of(structure.parts, &Part::cut)) found.complete = false;
  return found;
}

bool is_ambiguous_damage(const Part& part, const Decoded& decoded) {
  if (!decoded.damaged) return false;
  return part.encoding != TransferEncoding::quoted_printable || !part.is_text() || part.other_encoding;
}

bool ambiguous(const Structure& structure, Defects decoding) {
  constexpr Defect kAmbiguous[] = {Defect::duplicate_boundary, Defect::ambiguous_delimiter,
                                   Defect::encoding_on_multipart};
  return !structure.one_reading || decoding.has(Defect::damaged_encoding) ||
         std::ranges::any_of(structure.parts, [](const Part& part) { return part.other_encoding; }) ||
         std::ranges::any_of(kAmbiguous, [&](Defect each) { return structure.defects.has(each); });
}

}  // namespace postern::mime
