// SPDX-License-Identifier: Apache-2.0
// Compound files (OLE2, MS-CFB): the tree of storages and streams, read from memory with every chain bounded, so that a
// broken or hostile file gives what is there and says that it is damaged. A writer makes a storage into a file of its
// own, since a document inside a document is a storage.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::scan::worker {

inline constexpr std::string_view kCompoundFileMagic = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

// CompoundEntry is a storage or stream.
struct CompoundEntry {
  std::string name;    // UTF-8; may begin with a control character, as "\x01Ole10Native"
  std::string name16;  // as stored
  std::string clsid;   // 16 bytes
  bool is_storage = false;
  uint32_t start = 0;
  uint64_t size = 0;
  uint32_t parent = 0;
  std::vector<uint32_t> children;
};

// CompoundStream is the bytes of a stream: a view into the file where they lie together, else a copy.
class CompoundStream {
 public:
  CompoundStream() = default;
  explicit CompoundStream(std::string_view view) : view_(view) {}
  explicit CompoundStream(std::string copy) : copy_(std::move(copy)), copied_(true) {}
  std::string_view bytes() const { return copied_ ? std::string_view(copy_) : view_; }

 private:
  std::string copy_;
  std::string_view view_;
  bool copied_ = false;
};

class CompoundFile {
 public:
  // open reads the tree; nullopt when there is none to be read. `bytes` must outlive the object.
  static std::optional<CompoundFile> open(std::string_view bytes);

  // entries: the first is the root storage. Streams that the directory holds but the tree does not are children of the
  // root.
  const std::vector<CompoundEntry>& entries() const { return entries_; }
  // find returns a child of `storage` by name, without regard to ASCII case.
  std::optional<uint32_t> find(uint32_t storage, std::string_view name) const;
  // read returns a stream's bytes, as many as are there.
  CompoundStream read(uint32_t entry);
  // damaged tells whether anything so far was not as it should be.
  bool damaged() const { return damaged_; }
  // size_of adds up what the streams under `storage` say they hold, each no more than the whole file.
  uint64_t size_of(uint32_t storage) const;
  // rebuild makes the file of which `storage` is the root.
  std::string rebuild(uint32_t storage);

 private:
  explicit CompoundFile(std::string_view bytes) : bytes_(bytes) {}
  bool load();
  void load_fat();
  bool load_directory(uint32_t first);
  void add_children(uint32_t storage, uint32_t first, std::vector<bool>& seen, std::vector<uint32_t>& storages);
  std::string_view sector(uint32_t number) const;
  CompoundStream chain(uint32_t first, uint64_t size, const std::vector<uint32_t>& fat, std::string_view mini);

  std::string_view bytes_;
  std::vector<CompoundEntry> entries_;
  std::vector<uint32_t> child_of_;  // first child of each storage as the directory has it
  std::vector<uint32_t> left_, right_;
  std::vector<uint32_t> fat_;
  std::vector<uint32_t> mini_fat_;
  CompoundStream mini_;
  uint32_t shift_ = 9;
  uint32_t mini_shift_ = 6;
  uint32_t cutoff_ = 4096;
  bool damaged_ = false;
};

// CompoundWriter makes a compound file of version 3.
class CompoundWriter {
 public:
  explicit CompoundWriter(std::string clsid = std::string(16, '\0'));
  // storage and stream add an entry under `parent` (0 is the root) and return its number. Names are UTF-16.
  uint32_t storage(uint32_t parent, std::string name16, std::string clsid = std::string(16, '\0'));
  uint32_t stream(uint32_t parent, std::string name16, std::string bytes);
  std::string finish() const;

 private:
  struct Node {
    std::string name16;
    std::string clsid;
    std::string bytes;
    bool is_storage;
    std::vector<uint32_t> children;
  };
  std::vector<Node> nodes_;
};

// name16 is an ASCII name as compound files store it.
std::string name16(std::string_view ascii);

}  // namespace postern::scan::worker
