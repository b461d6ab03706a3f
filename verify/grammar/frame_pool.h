// The open arrays and objects of one request's states: frames that are shared and never changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace ft::grammar {

using FrameId = uint32_t;
inline constexpr FrameId kBottom = 0;  // nothing is open

enum class FrameKind : uint8_t { kArray, kObject, kMarkup };

struct Frame {
  FrameId parent = kBottom;
  FrameKind kind = FrameKind::kArray;
  uint32_t rule = 0;
  uint32_t index = 0;  // items begun; of an object the first member that may still come; a markup's state
  uint32_t count = 0;  // members so far, as far as their number matters
  uint32_t used = 0;   // list of the names that the rule does not name, or of items that must differ
  bool operator==(const Frame&) const = default;
};

// A name or item seen and the list of those before it. List 0 is empty.
struct UsedName {
  uint32_t before = 0;
  uint64_t hash = 0;
  uint32_t length = 0;  // of the list
};

// Equal frames have equal numbers, so that states are compared by numbers. One thread at a time.
class FramePool {
 public:
  FramePool() : frames_(1), names_(1) {}

  FrameId intern(const Frame& frame);
  const Frame& operator[](FrameId id) const { return frames_[id]; }

  uint32_t with_name(uint32_t list, uint64_t hash);
  bool has_name(uint32_t list, uint64_t hash) const;
  uint32_t name_count(uint32_t list) const { return names_[list].length; }

  // A frame of another pool, with all below it.
  FrameId copy(const FramePool& other, FrameId id);

  size_t size() const { return frames_.size() + names_.size(); }

 private:
  std::vector<Frame> frames_;
  std::vector<UsedName> names_;
  std::unordered_multimap<uint64_t, FrameId> frame_ids_;  // by hash of the frame
  std::unordered_map<uint64_t, uint32_t> name_ids_;       // by mixed hash; a collision only forbids a name
};

}  // namespace ft::grammar
