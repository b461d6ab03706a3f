#include "eval/random_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "core/fnv.h"
#include "core/model_config.h"
#include "core/weights.h"
#include "eval/random_values.h"

namespace ft::eval {

namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = size_t{1} << 20;

// What a tensor's bytes are made of.
enum class Content : uint8_t { kData, kScale, kNorm, kVector, kMatrix, kTable };

struct TensorPlan {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  Content content = Content::kData;
  WeightFormat format = WeightFormat::kF32;  // kData, kScale
  int64_t limit = 0;                         // kTable: values are below it

  int64_t bytes() const {
    int64_t size = byte_size(dtype);
    for (int64_t extent : shape) size *= extent;
    return size;
  }
};

// Lists the tensors of a config.
class Planner final : public WeightVisitor {
 public:
  std::vector<TensorPlan> tensors;

  void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
              WeightFormat format) override {
    weight = {format, nullptr, nullptr, rows, cols};
    const auto add_pair = [&](DType dtype, int64_t stored_cols, std::vector<int64_t> scale_shape) {
      tensors.push_back({name + ".weight", dtype, {rows, stored_cols}, Content::kData, format, 0});
      if (!scale_shape.empty())
        tensors.push_back(
            {name + ".scale", DType::kE8M0, std::move(scale_shape), Content::kScale, format, 0});
    };
    switch (format) {
      case WeightFormat::kF32:
        return add_pair(DType::kF32, cols, {});
      case WeightFormat::kBF16:
        return add_pair(DType::kBF16, cols, {});
      case WeightFormat::kFp8Block:
        return add_pair(DType::kE4M3, cols, {(rows + 127) / 128, (cols + 127) / 128});
      case WeightFormat::kFp4Row:
        return add_pair(DType::kI8, cols / 2, {rows, cols / 32});
    }
  }
  void vector(const std::string& name, Vector&, std::vector<int64_t> shape, DType stored) override {
    const Content content = name.ends_with("norm.weight") ? Content::kNorm : Content::kVector;
    tensors.push_back({name, stored, std::move(shape), content, WeightFormat::kF32, 0});
  }
  void matrix(const std::string& name, Weight&, int64_t rows, int64_t cols) override {
    tensors.push_back({name, DType::kF32, {rows, cols}, Content::kMatrix, WeightFormat::kF32, 0});
  }
  void table(const std::string& name, const int32_t*&, const int32_t*&, int64_t rows, int64_t cols,
             int64_t limit) override {
    tensors.push_back({name, DType::kI64, {rows, cols}, Content::kTable, WeightFormat::kF32, limit});
  }
};

uint64_t hash_of(const std::string& name, uint64_t seed) {
  // A generator needs a state other than 0.
  return fnv1a(name, kFnvStart ^ (seed * 0x9e3779b97f4a7c15u)) | 1;
}

template <class Element>
void put(std::vector<char>& piece, Element element) {
  const size_t size = piece.size();
  piece.resize(size + sizeof(Element));
  std::memcpy(piece.data() + size, &element, sizeof(Element));
}

// Appends the tensor's next values to `piece`: one word, or one row of a table.
void append(const TensorPlan& tensor, RandomValues& random, std::vector<char>& piece) {
  switch (tensor.content) {
    case Content::kData:
      if (tensor.format == WeightFormat::kF32) return put(piece, random.matrix_value());
      return put(piece, random.data_word(tensor.format));
    case Content::kScale:
      return put(piece, random.scale_byte(tensor.format));
    case Content::kNorm:
    case Content::kVector: {
      const float value = random.vector_value(tensor.content == Content::kNorm);
      if (tensor.dtype == DType::kBF16) return put(piece, f32_to_bf16(value));
      return put(piece, value);
    }
    case Content::kMatrix:
      return put(piece, random.matrix_value());
    case Content::kTable: {
      // A token's experts are distinct.
      const auto limit = static_cast<uint64_t>(tensor.limit);
      const uint64_t first = random.next() % limit;
      for (int64_t k = 0; k < tensor.shape[1]; ++k)
        put(piece, static_cast<int64_t>((first + static_cast<uint64_t>(k)) % limit));
      return;
    }
  }
}

std::string header_of(const std::vector<TensorPlan>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  int64_t offset = 0;
  for (const TensorPlan& tensor : tensors) {
    header[tensor.name] = {{"dtype", std::string(safetensors_name(tensor.dtype))},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // keeps the data aligned
  return text;
}

void write_data(std::ofstream& out, const std::vector<TensorPlan>& tensors, int64_t total,
                const RandomCheckpointOptions& options) {
  std::vector<char> piece;
  int64_t done = 0;
  for (const TensorPlan& tensor : tensors) {
    RandomValues random(hash_of(tensor.name, options.seed));
    for (int64_t left = tensor.bytes(); left > 0 && out.good();) {
      piece.clear();
      const int64_t want = std::min<int64_t>(left, kPieceBytes);
      while (static_cast<int64_t>(piece.size()) < want) append(tensor, random, piece);
      // The last word of a tensor may be longer than what is left of it.
      const auto write = std::min<int64_t>(left, static_cast<int64_t>(piece.size()));
      out.write(piece.data(), write);
      left -= write;
      done += write;
      if (options.progress) options.progress(done, total);
    }
  }
}

}  // namespace

Result<void> make_random_checkpoint(const RandomCheckpointOptions& options) {
  std::ifstream config_file(options.config, std::ios::binary);
  if (!config_file) return fail(ErrorCode::kNotFound, "{}: cannot be opened", options.config);
  std::ostringstream text;
  text << config_file.rdbuf();
  const auto config = ModelConfig::parse(text.str(), options.config);
  if (!config) return tl::make_unexpected(config.error());

  const std::string path = options.out + "/model.safetensors";
  std::error_code failed;
  fs::create_directories(options.out, failed);
  if (failed) return fail(ErrorCode::kInvalidFile, "{}: {}", options.out, failed.message());
  if (fs::exists(path))
    return fail(ErrorCode::kInvalidArgument, "{}: is there already; remove it or choose another folder",
                path);

  Planner planner;
  ModelWeights tree;
  visit_weights(*config, tree, planner);
  // Large elements first, so that every tensor is aligned.
  std::stable_sort(planner.tensors.begin(), planner.tensors.end(),
                   [](const auto& a, const auto& b) { return byte_size(a.dtype) > byte_size(b.dtype); });
  int64_t total = 0;
  for (const TensorPlan& tensor : planner.tensors) total += tensor.bytes();
  const std::string header = header_of(planner.tensors);
  const fs::space_info space = fs::space(options.out, failed);
  if (!failed && space.available < static_cast<uint64_t>(total) + header.size())
    return fail(ErrorCode::kTooLarge, "{}: {} bytes are free, the weights need {}", options.out,
                space.available, total);

  const std::string partial = path + ".tmp";
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  const uint64_t length = header.size();
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  write_data(out, planner.tensors, total, options);
  out.close();
  std::ofstream copy(options.out + "/config.json", std::ios::binary | std::ios::trunc);
  copy << text.str();
  copy.close();
  if (out.good() && copy.good()) {
    fs::rename(partial, path, failed);
    if (!failed) return {};
  }
  std::error_code ignored;
  fs::remove(partial, ignored);
  return fail(ErrorCode::kInvalidFile, "{}: cannot be written", path);
}

}  // namespace ft::eval
