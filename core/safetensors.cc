#include "core/safetensors.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/file.h"
#include "core/json_text.h"

namespace ft {
namespace {

using nlohmann::json;

constexpr int64_t kLengthBytes = 8;    // the header length in front of the header
constexpr size_t kMaxDimensions = 16;  // more than any model has
constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";
constexpr const char* kMetadataKey = "__metadata__";

std::optional<DType> dtype_of(std::string_view name) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kE4M3, DType::kE8M0, DType::kI8, DType::kI32,
                      DType::kI64, DType::kF64}) {
    if (safetensors_name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

// The bytes of a tensor, or nothing where they do not fit 63 bits.
std::optional<int64_t> tensor_bytes(std::span<const int64_t> shape, DType dtype) {
  int64_t bytes = byte_size(dtype);
  for (int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return bytes;
}

// A non-negative 63-bit integer, or nothing.
std::optional<int64_t> natural(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<uint64_t>();
  if (number > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(number);
}

struct HeaderEntry {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;
  int64_t end = 0;
};

// One value of the header. The message of an error has no file and tensor yet.
Result<HeaderEntry> parse_entry(const json& value) {
  constexpr auto kBad = ErrorCode::kInvalidFile;
  if (!value.is_object()) return fail(kBad, "is {}, expected an object", shown(value));
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(key)) return fail(kBad, "has no {}", key);
  }
  HeaderEntry entry;
  const json& dtype = value["dtype"];
  const auto known = dtype.is_string() ? dtype_of(dtype.get_ref<const std::string&>()) : std::nullopt;
  if (!known) {
    return fail(kBad, "has dtype {}, expected F32, BF16, F8_E4M3, F8_E8M0, I8, I32, I64 or F64",
                shown(dtype));
  }
  entry.dtype = *known;

  const json& shape = value["shape"];
  if (!shape.is_array() || shape.size() > kMaxDimensions) {
    return fail(kBad, "has shape {}, expected a list of at most {} sizes", shown(shape), kMaxDimensions);
  }
  for (const json& extent : shape) {
    const auto size = natural(extent);
    if (!size) return fail(kBad, "has shape {}, expected non-negative integers", shown(shape));
    entry.shape.push_back(*size);
  }
  const auto bytes = tensor_bytes(entry.shape, entry.dtype);
  if (!bytes) return fail(kBad, "has shape {}: its size in bytes overflows", shown(shape));

  const json& offsets = value["data_offsets"];
  const auto begin = offsets.is_array() && offsets.size() == 2 ? natural(offsets[0]) : std::nullopt;
  const auto end = begin ? natural(offsets[1]) : std::nullopt;
  if (!end || *begin > *end) {
    return fail(kBad, "has data_offsets {}, expected two integers [begin, end]", shown(offsets));
  }
  entry.begin = *begin;
  entry.end = *end;
  if (entry.end - entry.begin != *bytes) {
    return fail(kBad, "has data_offsets of {} bytes, but shape {} of {} takes {}", entry.end - entry.begin,
                shape_text(entry.shape), safetensors_name(entry.dtype), *bytes);
  }
  return entry;
}

}  // namespace

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Result<std::unique_ptr<SafetensorsFile>> SafetensorsFile::open(const std::string& path) {
  auto mapping = MappedFile::open(path);
  if (!mapping) return tl::make_unexpected(mapping.error());
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile);
  file->mapping_ = std::move(*mapping);
  if (auto read = file->read_header(); !read) return tl::make_unexpected(read.error());
  return file;
}

Result<void> SafetensorsFile::read_header() {
  constexpr auto kBad = ErrorCode::kInvalidFile;
  const std::byte* data = mapping_->bytes().data();
  const auto file_bytes = static_cast<int64_t>(mapping_->bytes().size());
  if (file_bytes < kLengthBytes) {
    return fail(kBad, "{}: {} bytes, too short for a safetensors file", path(), file_bytes);
  }
  const std::string_view begin(reinterpret_cast<const char*>(data),
                               std::min<size_t>(mapping_->bytes().size(), kLfsPointer.size()));
  if (begin == kLfsPointer) {
    return fail(kBad, "{}: is a Git LFS pointer instead of the weights; fetch them with `git lfs pull`",
                path());
  }
  uint64_t length = 0;
  std::memcpy(&length, data, sizeof(length));
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return fail(kBad, "{}: header length {} is over the limit of {}", path(), length, kMaxHeaderBytes);
  }
  const int64_t data_start = kLengthBytes + static_cast<int64_t>(length);
  if (data_start > file_bytes) {
    return fail(kBad, "{}: truncated: the header ends at byte {}, the file has {}", path(), data_start,
                file_bytes);
  }
  const int64_t data_bytes = file_bytes - data_start;
  const std::string_view text(reinterpret_cast<const char*>(data) + kLengthBytes, length);
  const auto header = parse_json_object(text, path() + " (header)");
  if (!header) return tl::make_unexpected(header.error());

  std::vector<std::pair<HeaderEntry, const std::string*>> ranges;
  for (const auto& item : header->items()) {
    const std::string& name = item.key();
    if (name == kMetadataKey) {
      if (!item.value().is_object()) {
        return fail(kBad, "{}: {} is {}, expected an object", path(), name, shown(item.value()));
      }
      continue;
    }
    if (name.empty() || name.size() > kMaxNameBytes) {
      return fail(kBad, "{}: a tensor name has {} bytes, expected 1 to {}", path(), name.size(),
                  kMaxNameBytes);
    }
    auto entry = parse_entry(item.value());
    if (!entry) return fail(kBad, "{}: tensor {} {}", path(), name, entry.error().message);
    if (entry->end > data_bytes) {
      return fail(kBad, "{}: truncated: tensor {} ends at data byte {}, the file has {}", path(), name,
                  entry->end, data_bytes);
    }
    StoredTensor tensor;
    tensor.name = name;
    tensor.dtype = entry->dtype;
    tensor.shape = entry->shape;
    tensor.data = data + data_start + entry->begin;
    tensor.bytes = entry->end - entry->begin;
    tensor.file = this;
    const auto [place, inserted] = tensors_.emplace(name, std::move(tensor));
    ranges.emplace_back(std::move(*entry), &place->first);
  }

  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.begin, a.first.end) < std::pair(b.first.begin, b.first.end);
  });
  int64_t covered = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const auto& [entry, name] = ranges[i];
    if (entry.begin < covered) {
      return fail(kBad, "{}: tensors {} and {} overlap: data byte {} is before {}", path(),
                  *ranges[i - 1].second, *name, entry.begin, covered);
    }
    if (entry.begin > covered) {
      return fail(kBad, "{}: data bytes {} to {}, before tensor {}, belong to no tensor", path(), covered,
                  entry.begin, *name);
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    return fail(kBad, "{}: the tensors cover {} data bytes, the file has {}", path(), covered, data_bytes);
  }
  return {};
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<std::unique_ptr<SafetensorsIndex>> SafetensorsIndex::open(const std::string& directory) {
  std::unique_ptr<SafetensorsIndex> index(new SafetensorsIndex);
  const std::filesystem::path root(directory);
  const std::string single = (root / "model.safetensors").string();
  const std::string list = (root / "model.safetensors.index.json").string();
  // symlink_status: a dangling link named model.safetensors is an error of its own, not an absent file.
  std::error_code ignored;
  const auto is_there = [&](const std::string& path) {
    return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
  };
  if (is_there(list)) {
    index->path_ = list;
    if (auto opened = index->open_shards(directory); !opened) return tl::make_unexpected(opened.error());
    const bool named = std::any_of(index->files_.begin(), index->files_.end(),
                                   [&](const auto& file) { return file->path() == single; });
    if (is_there(single) && !named) {
      index->warnings_.push_back(fmt::format("{}: is left out, because {} names other files", single, list));
    }
    return index;
  }
  if (!is_there(single)) {
    return fail(ErrorCode::kNotFound, "{}: has neither model.safetensors nor model.safetensors.index.json",
                directory);
  }
  auto file = SafetensorsFile::open(single);
  if (!file) return tl::make_unexpected(file.error());
  index->path_ = single;
  for (const auto& [name, tensor] : (*file)->tensors()) index->tensors_.emplace(name, &tensor);
  index->files_.push_back(std::move(*file));
  return index;
}

Result<void> SafetensorsIndex::open_shards(const std::string& directory) {
  constexpr auto kBad = ErrorCode::kInvalidFile;
  const auto text = read_file(path_, kMaxIndexBytes);
  if (!text) return tl::make_unexpected(text.error());
  const auto root = parse_json_object(*text, path_);
  if (!root) return tl::make_unexpected(root.error());
  const auto map = root->find("weight_map");
  if (map == root->end() || !map->is_object()) {
    return fail(kBad, "{}: weight_map is {}, expected an object", path_,
                map == root->end() ? "absent" : shown(*map));
  }

  if (map->empty()) return fail(kBad, "{}: weight_map names no tensors", path_);

  std::map<std::string, SafetensorsFile*> shards;
  for (const auto& item : map->items()) {
    const json& value = item.value();
    // A plain file name: an index must not reach outside its directory, nor name itself.
    const std::string shard = value.is_string() ? value.get<std::string>() : std::string();
    if (shard.find('/') != std::string::npos || shard.find('\0') != std::string::npos ||
        !shard.ends_with(".safetensors")) {
      return fail(kBad,
                  "{}: weight_map entry {} names {}, expected a *.safetensors file in the same directory",
                  path_, item.key(), shown(value));
    }
    auto [opened, is_new] = shards.emplace(shard, nullptr);
    if (is_new) {
      if (shards.size() > kMaxShards) return fail(kBad, "{}: names more than {} shards", path_, kMaxShards);
      auto file = SafetensorsFile::open((std::filesystem::path(directory) / shard).string());
      if (!file) return fail(file.error().code, "{} (named by {})", file.error().message, path_);
      opened->second = file->get();
      files_.push_back(std::move(*file));
    }
    const StoredTensor* tensor = opened->second->find(item.key());
    if (tensor == nullptr) {
      return fail(kBad, "{}: weight_map places tensor {} in {}, which does not hold it", path_, item.key(),
                  shard);
    }
    tensors_.emplace(tensor->name, tensor);
  }
  warn_of_leftovers();
  return {};
}

void SafetensorsIndex::warn_of_leftovers() {
  for (const auto& file : files_) {
    int64_t unlisted = 0;
    int64_t elsewhere = 0;
    const StoredTensor* example = nullptr;
    for (const auto& [name, tensor] : file->tensors()) {
      const auto listed = tensors_.find(name);
      if (listed != tensors_.end() && listed->second == &tensor) continue;
      ++(listed == tensors_.end() ? unlisted : elsewhere);
      if (example == nullptr) example = &tensor;
    }
    if (example == nullptr) continue;
    warnings_.push_back(fmt::format(
        "{}: {} of its tensors are left out, {} because weight_map lacks them and {} because it places "
        "them in other files (the first: {})",
        file->path(), unlisted + elsewhere, unlisted, elsewhere, example->name));
  }
}

const StoredTensor* SafetensorsIndex::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

int64_t SafetensorsIndex::total_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) bytes += tensor->bytes;
  return bytes;
}

void SafetensorsIndex::prefetch() const {
  for (const auto& file : files_) file->mapping()->prefetch();
}

std::vector<std::shared_ptr<const MappedFile>> SafetensorsIndex::mappings() const {
  std::vector<std::shared_ptr<const MappedFile>> mappings;
  for (const auto& file : files_) mappings.push_back(file->mapping());
  return mappings;
}

Result<void> write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors) {
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return byte_size(a->dtype) > byte_size(b->dtype); });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::vector<int64_t> sizes;
  int64_t offset = 0;
  for (const TensorToWrite* tensor : order) {
    if (tensor->name.empty() || tensor->name.size() > SafetensorsFile::kMaxNameBytes ||
        tensor->name == kMetadataKey || header.contains(tensor->name)) {
      return fail(ErrorCode::kInvalidArgument, "{}: tensor name '{}' is empty, reserved, too long or taken",
                  path, tensor->name);
    }
    const auto bytes = tensor_bytes(tensor->shape, tensor->dtype);
    int64_t end = 0;
    if (!bytes || __builtin_add_overflow(offset, *bytes, &end)) {
      return fail(ErrorCode::kInvalidArgument, "{}: tensor {} has an impossible shape {}", path, tensor->name,
                  shape_text(tensor->shape));
    }
    header[tensor->name] = {{"dtype", std::string(safetensors_name(tensor->dtype))},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, end}}};
    sizes.push_back(*bytes);
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // keeps the data 8-byte aligned

  const std::string partial = fmt::format("{}.{}.tmp", path, getpid());
  std::ofstream stream(partial, std::ios::binary | std::ios::trunc);
  const uint64_t length = text.size();
  stream.write(reinterpret_cast<const char*>(&length), sizeof(length));
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (size_t i = 0; i < order.size(); ++i) {
    if (sizes[i] > 0) stream.write(static_cast<const char*>(order[i]->data), sizes[i]);
  }
  stream.close();
  std::error_code failed;
  if (stream.good()) {
    std::filesystem::rename(partial, path, failed);
    if (!failed) return {};
  }
  std::error_code ignored;
  std::filesystem::remove(partial, ignored);
  return fail(ErrorCode::kInvalidFile, "{}: cannot be written{}", path,
              failed ? ": " + failed.message() : "");
}

}  // namespace ft
