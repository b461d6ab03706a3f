#include "eval/random_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/check.h"
#include "core/file.h"
#include "core/fnv.h"
#include "core/model_config.h"
#include "core/weights.h"
#include "eval/checkpoint_form.h"
#include "eval/checkpoint_plan.h"
#include "eval/random_values.h"

namespace ft::eval {

namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr int64_t kMaxConfigBytes = 16 << 20;

using Json = nlohmann::ordered_json;
using Content = TensorPlan::Content;

// Lists the tensors of a config.
class Planner final : public WeightVisitor {
 public:
  std::vector<TensorPlan> tensors;

  void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
              WeightFormat format) override {
    weight = {format, nullptr, nullptr, rows, cols};
    const auto add_pair = [&](DType dtype, int64_t stored_cols, std::vector<int64_t> scale_shape) {
      add(name + ".weight", dtype, {rows, stored_cols}, Content::kData, format);
      if (!scale_shape.empty())
        add(name + ".scale", DType::kE8M0, std::move(scale_shape), Content::kScale, format);
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
    add(name, stored, std::move(shape), content);
  }
  void matrix(const std::string& name, Weight&, int64_t rows, int64_t cols) override {
    add(name, DType::kF32, {rows, cols}, Content::kMatrix);
  }
  void table(const std::string& name, const int32_t*&, const int32_t*&, int64_t rows, int64_t cols,
             int64_t limit) override {
    add(name, DType::kI64, {rows, cols}, Content::kTable);
    tensors.back().limit = limit;
  }

 private:
  void add(const std::string& name, DType dtype, std::vector<int64_t> shape, Content content,
           WeightFormat format = WeightFormat::kF32) {
    TensorPlan tensor;
    tensor.name = tensor.source = name;
    tensor.dtype = dtype;
    tensor.shape = std::move(shape);
    tensor.content = content;
    tensor.format = format;
    tensors.push_back(std::move(tensor));
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

void put_scale(std::vector<char>& piece, uint8_t scale, DType dtype) {
  if (dtype == DType::kF32) return put(piece, e8m0_to_f32(scale));
  put(piece, scale);
}

// Appends the tensor's next values to `piece`: one word, or one row of a table.
void append(const TensorPlan& tensor, RandomValues& random, std::vector<char>& piece) {
  switch (tensor.content) {
    case Content::kData:
      if (tensor.format == WeightFormat::kF32) return put(piece, random.matrix_value());
      return put(piece, random.data_word(tensor.format));
    case Content::kScale:
      return put_scale(piece, random.scale_byte(tensor.format), tensor.dtype);
    case Content::kScaleOfFp4:
      return put_scale(piece, kRandomFp4ScaleMin, tensor.dtype);
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
    case Content::kFp8OfFp4:
      FT_CHECK(false, tensor.name);  // whole tensors only, see fp8_of_fp4
  }
}

// Streams a tensor's bytes to `out` in pieces.
template <class Out>
void write_values(const TensorPlan& tensor, uint64_t seed, const Out& out) {
  RandomValues random(hash_of(tensor.source, seed));
  std::vector<char> piece;
  for (int64_t left = tensor.bytes(); left > 0;) {
    piece.clear();
    const int64_t want = std::min<int64_t>(left, kPieceBytes);
    while (static_cast<int64_t>(piece.size()) < want) append(tensor, random, piece);
    // The last word of a tensor may be longer than what is left of it.
    piece.resize(static_cast<size_t>(std::min<int64_t>(left, static_cast<int64_t>(piece.size()))));
    left -= static_cast<int64_t>(piece.size());
    if (!out(piece)) return;
  }
}

std::vector<char> values_of(const TensorPlan& tensor, uint64_t seed) {
  std::vector<char> all;
  write_values(tensor, seed, [&](const std::vector<char>& piece) {
    all.insert(all.end(), piece.begin(), piece.end());
    return true;
  });
  return all;
}

// The codes of an e4m3 weight that, with a block scale of kRandomFp4ScaleMin, has exactly the values of the fp4
// weight of the same name: e2m1 times a small power of two fits the four bits of e4m3.
std::vector<char> fp8_of_fp4(const TensorPlan& tensor, uint64_t seed) {
  constexpr int64_t kScaleColumns = 32;
  const int64_t rows = tensor.shape[0];
  const int64_t cols = tensor.shape[1];
  TensorPlan data = tensor;
  data.content = Content::kData;
  data.dtype = DType::kI8;
  data.shape = {rows, cols / 2};
  TensorPlan scale = tensor;
  scale.content = Content::kScale;
  scale.dtype = DType::kE8M0;
  scale.shape = {rows, cols / kScaleColumns};
  const size_t suffix = tensor.source.rfind(".weight");
  FT_CHECK(suffix != std::string::npos, tensor.source);
  scale.source = tensor.source.substr(0, suffix) + ".scale";
  const std::vector<char> codes = values_of(data, seed);
  const std::vector<char> scales = values_of(scale, seed);
  std::vector<char> out(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < rows * cols; ++i) {
    const auto pair = static_cast<uint8_t>(codes[static_cast<size_t>(i / 2)]);
    const auto code = static_cast<uint8_t>(i % 2 == 0 ? pair & 15u : pair >> 4);
    const auto power =
        static_cast<uint8_t>(scales[static_cast<size_t>(i / kScaleColumns)]) - kRandomFp4ScaleMin;
    const float value = e2m1_to_f32(code) * exp2_int(power);
    const uint8_t fp8 = f32_to_e4m3(value);
    FT_CHECK(e4m3_to_f32(fp8) == value, tensor.name, value);
    out[static_cast<size_t>(i)] = static_cast<char>(fp8);
  }
  return out;
}

std::string header_of(const std::vector<const TensorPlan*>& tensors) {
  Json header = Json::object();
  int64_t offset = 0;
  for (const TensorPlan* tensor : tensors) {
    header[tensor->name] = {{"dtype", std::string(safetensors_name(tensor->dtype))},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + tensor->bytes()}}};
    offset += tensor->bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // keeps the data aligned
  return text;
}

class Writer {
 public:
  Writer(const RandomCheckpointOptions& options, int64_t total) : options_(options), total_(total) {}

  // Writes the tensors as `name`: under another name first, renamed when it is whole.
  Result<void> write(const std::string& name, const std::vector<const TensorPlan*>& tensors) {
    const std::string path = options_.out + "/" + name;
    const std::string partial = path + ".tmp";
    std::ofstream out(partial, std::ios::binary | std::ios::trunc);
    const std::string header = header_of(tensors);
    const uint64_t length = header.size();
    out.write(reinterpret_cast<const char*>(&length), sizeof(length));
    out.write(header.data(), static_cast<std::streamsize>(header.size()));
    const auto write_piece = [&](const std::vector<char>& piece) {
      out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
      done_ += static_cast<int64_t>(piece.size());
      if (options_.progress) options_.progress(done_, total_);
      return out.good();
    };
    for (const TensorPlan* tensor : tensors) {
      if (!out.good()) break;
      if (tensor->content == Content::kFp8OfFp4) {
        write_piece(fp8_of_fp4(*tensor, options_.seed));
      } else {
        write_values(*tensor, options_.seed, write_piece);
      }
    }
    out.close();
    std::error_code failed;
    if (out.good()) {
      fs::rename(partial, path, failed);
      if (!failed) return {};
    }
    std::error_code ignored;
    fs::remove(partial, ignored);
    return fail(ErrorCode::kInvalidFile, "{}: cannot be written", path);
  }

 private:
  const RandomCheckpointOptions& options_;
  int64_t total_;
  int64_t done_ = 0;
};

Result<void> write_index(const CheckpointPlan& plan, const std::string& folder) {
  Json map = Json::object();
  for (const TensorPlan& tensor : plan.tensors)
    if (tensor.listed) map[tensor.name] = tensor.file;
  const Json index = {{"metadata", Json::object()}, {"weight_map", std::move(map)}};
  return replace_file(folder + "/model.safetensors.index.json", index.dump(2) + "\n");
}

Result<CheckpointPlan> plan_of(const RandomCheckpointOptions& options, const CheckpointForm& form) {
  const auto text = read_file(options.config, kMaxConfigBytes);
  if (!text) return tl::make_unexpected(text.error());
  if (const auto config = ModelConfig::parse(*text, options.config); !config)
    return tl::make_unexpected(config.error());
  CheckpointPlan plan;
  plan.config = Json::parse(*text);
  if (form.config) form.config(plan.config);
  const auto config = ModelConfig::parse(plan.config.dump(), options.config);
  if (!config) return tl::make_unexpected(config.error());
  Planner planner;
  ModelWeights tree;
  visit_weights(*config, tree, planner);
  plan.tensors = std::move(planner.tensors);
  if (form.plan) form.plan(plan);
  // Large elements first, so that every tensor is aligned.
  std::stable_sort(plan.tensors.begin(), plan.tensors.end(),
                   [](const auto& a, const auto& b) { return byte_size(a.dtype) > byte_size(b.dtype); });
  return plan;
}

}  // namespace

Result<void> make_random_checkpoint(const RandomCheckpointOptions& options) {
  const auto form = find_checkpoint_form(options.form);
  if (!form) return tl::make_unexpected(form.error());
  const auto plan = plan_of(options, **form);
  if (!plan) return tl::make_unexpected(plan.error());
  std::error_code failed;
  fs::create_directories(options.out, failed);
  if (failed) return fail(ErrorCode::kInvalidFile, "{}: {}", options.out, failed.message());
  int64_t total = 0;
  std::map<std::string, std::vector<const TensorPlan*>> files;
  for (const TensorPlan& tensor : plan->tensors) {
    files[tensor.file].push_back(&tensor);
    total += tensor.bytes();
  }
  for (const auto& [name, tensors] : files) {
    if (fs::exists(options.out + "/" + name))
      return fail(ErrorCode::kInvalidArgument, "{}/{}: is there already; remove it or choose another folder",
                  options.out, name);
  }
  const fs::space_info space = fs::space(options.out, failed);
  if (!failed && space.available < static_cast<uint64_t>(total))
    return fail(ErrorCode::kTooLarge, "{}: {} bytes are free, the weights need {}", options.out,
                space.available, total);

  Writer writer(options, total);
  for (const auto& [name, tensors] : files)
    if (auto written = writer.write(name, tensors); !written) return written;
  if (plan->index)
    if (auto written = write_index(*plan, options.out); !written) return written;
  if (auto written = replace_file(options.out + "/config.json", plan->config.dump(2) + "\n"); !written)
    return written;
  return (*form)->damage ? (*form)->damage(options.out) : Result<void>{};
}

}  // namespace ft::eval
