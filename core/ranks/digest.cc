#include "core/ranks/digest.h"

#include <algorithm>
#include <cstring>

#include "core/fnv.h"
#include "core/safetensors.h"

namespace ft::ranks {

namespace {

constexpr uint64_t kMultiplier = 0xd6e8feb86659fd93u;

uint64_t mixed(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * kMultiplier;
  return hash ^ (hash >> 32);
}

}  // namespace

void Digest::add(const void* data, size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(data);
  uint64_t word = 0;
  for (; bytes >= sizeof(word); at += sizeof(word), bytes -= sizeof(word)) {
    std::memcpy(&word, at, sizeof(word));
    hash_ = mixed(hash_, word);
  }
  word = bytes + 1;  // so that zeros at the end count
  std::memcpy(reinterpret_cast<uint8_t*>(&word) + 1, at, bytes);
  hash_ = mixed(hash_, word);
}

std::string Fingerprint::difference(const Fingerprint& other) const {
  std::string text;
  const auto name = [&](bool same, const char* what) {
    if (!same) text += (text.empty() ? "" : " and ") + std::string(what);
  };
  name(config == other.config, "config.json");
  name(tensors == other.tensors, "the names or shapes of tensors");
  name(sample == other.sample, "the bytes of tensors");
  return text;
}

Fingerprint fingerprint(const CheckpointFiles& files) {
  Digest text, tensors, sample;
  text.add(files.config_text.data(), files.config_text.size());
  for (const auto& [name, tensor] : files.index->tensors()) {
    tensors.add(name.data(), name.size());
    tensors.add(&tensor->dtype, sizeof(tensor->dtype));
    tensors.add(tensor->shape.data(), tensor->shape.size() * sizeof(tensor->shape[0]));
    const int64_t bytes = std::min(tensor->bytes, kSampleBytes);
    const int64_t places = tensor->bytes - bytes + 1;
    const auto place = static_cast<int64_t>(fnv1a(name) % static_cast<uint64_t>(places));
    sample.add(tensor->data + place, static_cast<size_t>(bytes));
  }
  return {text.value(), tensors.value(), sample.value()};
}

}  // namespace ft::ranks
