#include "verify/grammar/frame_pool.h"

namespace ft::grammar {
namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ hash >> 29;
}

uint64_t hash_of(const Frame& frame) {
  uint64_t hash = mix(frame.parent, uint64_t{frame.rule} << 2 | static_cast<uint64_t>(frame.kind));
  hash = mix(hash, uint64_t{frame.index} << 32 | frame.count);
  return mix(hash, frame.used);
}

}  // namespace

FrameId FramePool::intern(const Frame& frame) {
  const uint64_t hash = hash_of(frame);
  const auto [begin, end] = frame_ids_.equal_range(hash);
  for (auto known = begin; known != end; ++known)
    if (frames_[known->second] == frame) return known->second;
  const auto id = static_cast<FrameId>(frames_.size());
  frames_.push_back(frame);
  frame_ids_.emplace(hash, id);
  return id;
}

uint32_t FramePool::with_name(uint32_t list, uint64_t hash) {
  const auto [known, added] = name_ids_.try_emplace(mix(hash, list), static_cast<uint32_t>(names_.size()));
  if (added) names_.push_back({list, hash, names_[list].length + 1});
  return known->second;
}

bool FramePool::has_name(uint32_t list, uint64_t hash) const {
  for (; list != 0; list = names_[list].before)
    if (names_[list].hash == hash) return true;
  return false;
}

FrameId FramePool::copy(const FramePool& other, FrameId id) {
  std::vector<FrameId> open;
  for (; id != kBottom; id = other[id].parent) open.push_back(id);
  FrameId parent = kBottom;
  for (auto place = open.rbegin(); place != open.rend(); ++place) {
    Frame frame = other[*place];
    std::vector<uint64_t> used;
    for (uint32_t list = frame.used; list != 0; list = other.names_[list].before)
      used.push_back(other.names_[list].hash);
    frame.used = 0;
    for (auto hash = used.rbegin(); hash != used.rend(); ++hash) frame.used = with_name(frame.used, *hash);
    frame.parent = parent;
    parent = intern(frame);
  }
  return parent;
}

}  // namespace ft::grammar
