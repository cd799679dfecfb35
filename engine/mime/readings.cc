// SPDX-License-Identifier: Apache-2.0
// A search over entities (header and content): each is cut at every place where some reader ends its header, split at
// the lines that some reader takes for delimiters, and what is left is decoded in every way its header allows. Entities
// wait in a list, so nothing recurses; one seen before, at the same place, is not read again. What differs from reader
// to reader only in how the tree is drawn ends at the same leaves, so closing delimiters, nesting and parents are of no
// interest here: a delimiter is a place to cut.
#include "engine/mime/readings.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "engine/base/text.h"
#include "engine/mime/delimiters.h"
#include "engine/mime/labels.h"
#include "engine/mime/loose_header.h"
#include "engine/mime/other_decodings.h"
#include "engine/mime/part_header.h"

namespace postern::mime {
namespace {

constexpr size_t kMostEntities = 8000;

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
  // Known is a content, with all that headers say of it.
  struct Known {
    size_t hash = 0;
    size_t size = 0;
    std::optional<uint32_t> leaf;     // of the structure
    std::optional<uint32_t> reading;  // the first one that holds it
    KnownLabels labels;
  };
  // Place is a stretch that was decoded in one way.
  struct Place {
    std::optional<uint32_t> known;  // what came of it
    bool odd = false;               // there are other ways ...
    KnownLabels tried;              // ... which were tried under these labels
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
  void emit(const Content& content, const Labels& labels, TransferEncoding encoding, std::string_view why,
            bool labelled);
  // add adds readings of the content of `found` where it is new or `labels` say something new of it; false where there
  // is no room for them. `known`: which content that is.
  bool add(OtherReading found, const Labels& labels, std::optional<uint32_t>* known = nullptr);
  // add_known adds those of a known content; `found` holds it where no reading does yet.
  bool add_known(uint32_t known, OtherReading found, const Labels& labels);
  // put adds the readings of `content` for what is new of `labels`.
  bool put(OtherReading content, const Labels& labels, const News& news, Known& known);
  // add_decodings adds what readers make of `raw` that decode it otherwise.
  void add_decodings(TransferEncoding encoding, std::string_view raw, const Labels& labels, uint32_t part);
  // hold takes room for `bytes` bytes of what is kept; false where there is none.
  bool hold(uint64_t bytes);
  std::optional<uint32_t> find_known(std::string_view bytes, size_t hash);
  void know_structure();
  uint32_t part_at(const Entity& at) const;

  const Structure& structure_;
  std::string_view body_;
  const base::Limits& limits_;
  ReadingBounds bounds_;
  OtherReadings out_;
  std::deque<Buffer> buffers_;
  std::vector<Entity> waiting_;
  std::set<std::tuple<size_t, size_t, size_t>> seen_;                             // entities
  std::map<std::tuple<size_t, size_t, size_t, TransferEncoding>, Place> leaves_;  // contents decoded
  std::set<std::tuple<size_t, size_t, size_t, TransferEncoding>> containers_;     // the same, to look for parts in them
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
  if (!spend(label_work(*content.header))) return;
  const Labels labels = labels_of(*content.header);
  if (!labels.complete) out_.complete = false;
  const std::string_view recoded = "transfer encoding";
  for (const TransferEncoding encoding : named) emit(content, labels, encoding, certain ? why : recoded, true);
  if (named.empty() || !certain) emit(content, labels, TransferEncoding::identity, why, false);
  if (certain || !spend(all.size())) return;
  if (looks_base64(all)) emit(content, labels, TransferEncoding::base64, recoded, false);
  if (looks_quoted_printable(all)) emit(content, labels, TransferEncoding::quoted_printable, recoded, false);
  if (looks_uuencoded(all)) emit(content, labels, TransferEncoding::uuencode, recoded, false);
}

void Search::emit(const Content& content, const Labels& labels, TransferEncoding encoding, std::string_view why,
                  bool labelled) {
  if (stopped_) return;
  know_structure();
  const Entity& at = content.at;
  const auto [where, fresh] = leaves_.try_emplace({at.buffer, at.begin, at.end, encoding});
  Place& place = where->second;
  const bool has_more = labelled && place.odd && !place.tried.knows(labels);
  if (!fresh && !has_more && (!place.known || known_[*place.known].labels.knows(labels))) return;
  OtherReading found;
  found.why = why;
  found.part = part_at(at);
  if (!fresh && !has_more && known_[*place.known].reading) {
    add_known(*place.known, std::move(found), labels);
    return;
  }
  const std::string_view raw = text(at);
  if (!spend(3 * raw.size())) return;
  if (encoding == TransferEncoding::identity && buffers_[at.buffer].is_body) {
    found.in_body = true;
    found.span = {at.begin, at.end};
    add(std::move(found), labels, &place.known);
    return;
  }
  Decoded decoded = decode_transfer(encoding, raw);
  place.odd = decoded.odd;
  found.decoded = std::make_shared<const std::string>(std::move(decoded.bytes));
  const uint32_t part = found.part;
  add(std::move(found), labels, &place.known);
  if (!place.odd || !labelled || place.tried.knows(labels) || !hold(label_bytes(labels))) return;
  place.tried.add(labels);
  add_decodings(encoding, raw, labels, part);
}

void Search::add_decodings(TransferEncoding encoding, std::string_view raw, const Labels& labels, uint32_t part) {
  // A byte at a time through switches is slower than what `work` is counted in.
  constexpr uint64_t kCost = 4;
  other_decodings(encoding, raw,
                  {[&](uint64_t bytes) { return !stopped_ && spend(kCost * bytes); },
                   [&](std::string bytes) {
                     if (!spend(bytes.size())) return false;
                     OtherReading other;
                     other.why = "damaged encoding";
                     other.part = part;
                     other.decoded = std::make_shared<const std::string>(std::move(bytes));
                     return add(std::move(other), labels);
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

bool Search::add(OtherReading found, const Labels& labels, std::optional<uint32_t>* known) {
  const std::string_view bytes = without_end(found.bytes(body_));
  if (bytes.empty()) return true;
  const size_t hash = std::hash<std::string_view>()(bytes);
  std::optional<uint32_t> index = find_known(bytes, hash);
  if (!index) {
    index = static_cast<uint32_t>(known_.size());
    known_.push_back({hash, bytes.size(), {}, {}, {}});
  }
  if (known != nullptr) *known = index;
  return add_known(*index, std::move(found), labels);
}

bool Search::add_known(uint32_t index, OtherReading found, const Labels& labels) {
  Known& known = known_[index];
  const bool is_new = !known.leaf && !known.reading;
  News news = known.labels.news(labels);
  if (news.empty()) return true;
  if (!is_new) found.why = news.why;
  if (known.reading) {
    const OtherReading& first = out_.list[*known.reading];
    found.decoded = first.decoded;
    found.span = first.span;
    found.in_body = first.in_body;
  } else if (found.decoded && !hold(found.decoded->size())) {
    return false;
  }
  return put(std::move(found), labels, news, known);
}

bool Search::put(OtherReading content, const Labels& labels, const News& news, Known& known) {
  const size_t count = std::max<size_t>(news.kinds.size(), 1);
  if (!hold(label_bytes(labels) * count)) return false;
  content.path = structure_.parts[content.part].path;
  for (const size_t name : news.names) content.file_names.push_back(labels.names[name]);
  for (size_t i = 0; i < labels.names.size(); ++i) {
    if (std::ranges::find(news.names, i) == news.names.end()) content.file_names.push_back(labels.names[i]);
  }
  for (size_t i = 0; i < count; ++i) {
    const Kind& kind = labels.kinds[news.kinds.empty() ? 0 : news.kinds[i]];
    if (out_.list.size() >= bounds_.count) {
      out_.complete = false;
      stopped_ = true;
      return false;
    }
    if (!known.reading) known.reading = static_cast<uint32_t>(out_.list.size());
    content.type = kind.type;
    content.charset = kind.charset;
    out_.list.push_back(content);
  }
  known.labels.add(labels);
  return true;
}

std::optional<uint32_t> Search::find_known(std::string_view bytes, size_t hash) {
  for (uint32_t i = 0; i < known_.size(); ++i) {
    const Known& known = known_[i];
    if (known.hash != hash || known.size != bytes.size()) continue;
    if (known.reading) {
      if (without_end(out_.list[*known.reading].bytes(body_)) == bytes) return i;
    } else if (known.leaf) {
      const Part& part = structure_.parts[*known.leaf];
      if (spend(part.content.size()) && without_end(decode_content(part, body_).bytes) == bytes) return i;
    }
  }
  return std::nullopt;
}

void Search::know_structure() {
  if (knows_structure_) return;
  knows_structure_ = true;
  for (uint32_t i = 0; i < structure_.parts.size(); ++i) {
    const Part& part = structure_.parts[i];
    if (!part.is_leaf() || !spend(2 * part.content.size())) continue;
    const TransferEncoding encoding =
        part.encoding == TransferEncoding::unknown ? TransferEncoding::identity : part.encoding;
    const Decoded decoded = decode_content(part, body_);
    const std::string_view bytes = without_end(decoded.bytes);
    const size_t hash = std::hash<std::string_view>()(bytes);
    std::optional<uint32_t> known = find_known(bytes, hash);
    if (!known) {
      known = static_cast<uint32_t>(known_.size());
      known_.push_back({hash, bytes.size(), i, {}, {}});
    }
    const Labels labels = labels_of(part);
    known_[*known].labels.add(labels);
    Place& place = leaves_[{0, part.content.begin, part.content.end, encoding}];
    place.known = known;
    place.odd = decoded.odd;
    if (place.odd) place.tried.add(labels);
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
  const bool odd = header.odd || !part.is_leaf();
  read_content({{0, part.content.begin, part.content.end, part.depth, "header"}, &header, odd});
  run();
}

void Search::decodings(uint32_t index) {
  if (index >= structure_.parts.size() || stopped_) return;
  const Part& part = structure_.parts[index];
  if (!part.is_leaf()) return;
  know_structure();
  add_decodings(part.encoding, part.content.of(body_), labels_of(part), index);
}

}  // namespace

OtherReadings other_readings(const HeaderList& header, const Structure& structure, std::string_view body,
                             const base::Limits& limits, std::span<const uint32_t> odd, const ReadingBounds& bounds) {
  const auto recoded = [](const Part& part) { return part.other_encoding; };
  if (structure.one_reading && odd.empty() && std::ranges::none_of(structure.parts, recoded)) return {};
  Search search(structure, body, limits, bounds);
  for (uint32_t i = 0; i < structure.parts.size(); ++i) {
    if (i > 0 && structure.parts[i].other_encoding) search.one(i);
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
