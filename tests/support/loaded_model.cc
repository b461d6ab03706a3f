#include "tests/support/loaded_model.h"

#include <algorithm>

#include "core/check.h"

namespace ft::support {

namespace {

// More than any test's sequences. A checkpoint may allow a million, and its cache would have to be cleared.
constexpr int64_t kContextMax = 2048;

}  // namespace

OpenCheckpoint open_on(std::unique_ptr<Backend> backend, const std::string& path) {
  auto loaded = Checkpoint::load(path, *backend);
  FT_CHECK(loaded.has_value(), loaded.error().message);
  return {std::move(backend), std::move(*loaded)};
}

LoadedModel::LoadedModel(const std::string& path, const std::string& backend_name, Numerics numerics,
                         int32_t rows, int32_t sequences) {
  OpenCheckpoint opened = open_checkpoint(path, backend_name, numerics);
  backend = std::move(opened.backend);
  checkpoint = std::move(opened.checkpoint);
  CacheLimits limits;
  limits.sequences = sequences;
  limits.rows = rows;
  limits.context = std::min(checkpoint->config().max_position_embeddings, kContextMax);
  limits.total_tokens = sequences * limits.context;
  model = std::make_unique<Model>(*backend, *checkpoint, limits);
}

GoldenFile::GoldenFile(const std::string& path) {
  auto opened = SafetensorsFile::open(path);
  FT_CHECK(opened.has_value(), opened.error().message);
  file_ = std::move(*opened);
}

const StoredTensor& GoldenFile::tensor(const std::string& name) const {
  const StoredTensor* found = file_->find(name);
  FT_CHECK(found != nullptr, name);
  return *found;
}

std::span<const float> GoldenFile::f32(const std::string& name) const {
  const StoredTensor& t = tensor(name);
  FT_CHECK(t.dtype == DType::kF32, name);
  return {reinterpret_cast<const float*>(t.data), static_cast<size_t>(t.size())};
}

std::span<const int32_t> GoldenFile::i32(const std::string& name) const {
  const StoredTensor& t = tensor(name);
  FT_CHECK(t.dtype == DType::kI32, name);
  return {reinterpret_cast<const int32_t*>(t.data), static_cast<size_t>(t.size())};
}

std::vector<std::string> GoldenFile::names(const std::string& prefix) const {
  std::vector<std::string> found;
  for (const auto& [name, tensor] : file_->tensors())
    if (name.starts_with(prefix)) found.push_back(name);
  return found;
}

}  // namespace ft::support
