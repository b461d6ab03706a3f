#include "eval/random_weights.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "eval/random_values.h"

namespace ft::eval {

namespace {

constexpr size_t kPatternBytes = size_t{64}
                                 << 20;  // random bytes before they repeat: more than a device's cache
constexpr size_t kOffsetStep = 256;

// Fills `bytes` with words of `make`, repeating after kPatternBytes.
template <class Make>
std::vector<uint8_t> pattern(size_t bytes, Make make) {
  std::vector<uint8_t> data((bytes + 7) / 8 * 8);
  const size_t fresh = std::min(data.size(), kPatternBytes);
  for (size_t i = 0; i < fresh; i += 8) {
    const uint64_t word = make();
    std::memcpy(data.data() + i, &word, 8);
  }
  for (size_t done = fresh; done < data.size(); done += fresh) {
    std::memcpy(data.data() + done, data.data(), std::min(fresh, data.size() - done));
  }
  return data;
}

}  // namespace

class RandomWeights::Maker final : public WeightVisitor {
 public:
  Maker(RandomWeights& out, WeightPlacer& placer, int layers) : out_(out), placer_(placer) {
    out_.layer_bytes_.resize(static_cast<size_t>(layers));
  }

  void linear(const std::string& name, Weight& weight, int64_t rows, int64_t cols,
              WeightFormat format) override {
    weight = {};
    weight.format = format;
    weight.rows = rows;
    weight.cols = cols;
    weight.data = place(data_pattern(format), weight.data_bytes());
    if (weight.scale_bytes() > 0) {
      weight.scale = static_cast<const uint8_t*>(place(scale_pattern(format), weight.scale_bytes()));
    }
    count(name, weight.data_bytes() + weight.scale_bytes());
  }
  void vector(const std::string& name, Vector& vector, std::vector<int64_t> shape, DType) override {
    int64_t size = 1;
    for (const int64_t extent : shape) size *= extent;
    const bool norm = name.ends_with("norm.weight");
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) value = random_.vector_value(norm);
    vector = {static_cast<const float*>(place_values(values)), size};
    count(name, size * 4);
  }
  void matrix(const std::string& name, Weight& weight, int64_t rows, int64_t cols) override {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& value : values) value = random_.matrix_value();
    weight = {};
    weight.rows = rows;
    weight.cols = cols;
    weight.data = place_values(values);
    count(name, weight.data_bytes());
  }
  void table(const std::string& name, const int32_t*& table, const int32_t*& host, int64_t rows, int64_t cols,
             int64_t limit) override {
    std::vector<int32_t> values(static_cast<size_t>(rows * cols));
    for (int64_t i = 0; i < rows * cols; ++i)
      values[i] = static_cast<int32_t>((random_.next() >> 33) % limit);
    table = static_cast<const int32_t*>(place_values(values));
    host = reinterpret_cast<const int32_t*>(out_.host_.back().data());
    count(name, rows * cols * 4);
  }

  bool out_of_memory() const { return out_of_memory_; }

 private:
  const std::vector<uint8_t>& data_pattern(WeightFormat format) {
    std::vector<uint8_t>& data = patterns_[static_cast<int>(format)];
    if (!data.empty()) return data;
    // A bf16 weight may be the embedding of a whole vocabulary.
    const size_t bytes = format == WeightFormat::kBF16 ? size_t{1200} << 20 : 2 * kPatternBytes;
    return data = pattern(bytes, [&] { return random_.data_word(format); });
  }
  const std::vector<uint8_t>& scale_pattern(WeightFormat format) {
    std::vector<uint8_t>& data = patterns_[4 + static_cast<int>(format)];
    if (!data.empty()) return data;
    data.resize(kPatternBytes);
    for (uint8_t& byte : data) byte = random_.scale_byte(format);
    return data;
  }

  const void* place(const std::vector<uint8_t>& data, int64_t bytes) {
    FT_CHECK(static_cast<size_t>(bytes) <= data.size(), bytes, data.size());
    const size_t places = (data.size() - static_cast<size_t>(bytes)) / kOffsetStep + 1;
    return placed(data.data() + random_.next() % places * kOffsetStep, static_cast<size_t>(bytes));
  }
  template <class T>
  const void* place_values(const std::vector<T>& values) {
    std::vector<uint8_t> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    out_.host_.push_back(std::move(bytes));
    return placed(out_.host_.back().data(), out_.host_.back().size());
  }
  const void* placed(const void* host, size_t bytes) {
    const void* address = out_of_memory_ ? nullptr : placer_.place(host, bytes);
    out_of_memory_ = out_of_memory_ || address == nullptr;
    return address;
  }

  // "layers.3.ffn.experts.0.w1" and the like.
  void count(const std::string& name, int64_t bytes) {
    if (!name.starts_with("layers.")) return;
    LayerBytes& layer = out_.layer_bytes_[static_cast<size_t>(std::stoi(name.substr(7)))];
    if (name.find(".experts.") == std::string::npos) {
      layer.dense += bytes;
    } else if (name.find(".experts.0.") != std::string::npos) {
      layer.expert += bytes;
    }
  }

  RandomWeights& out_;
  WeightPlacer& placer_;
  RandomValues random_{0x9e3779b97f4a7c15ull};
  std::vector<uint8_t> patterns_[8];
  bool out_of_memory_ = false;

 public:
  // The patterns, for placers that keep host addresses.
  void keep_patterns() {
    for (auto& data : patterns_) {
      if (!data.empty()) out_.host_.push_back(std::move(data));
    }
  }
};

Result<std::unique_ptr<RandomWeights>> RandomWeights::make(const ModelConfig& config, WeightPlacer& placer) {
  auto made = std::unique_ptr<RandomWeights>(new RandomWeights());
  Maker maker(*made, placer, config.num_hidden_layers);
  visit_weights(config, made->weights_, maker);
  if (maker.out_of_memory()) {
    return fail(ErrorCode::kTooLarge, "random weights of {} layers do not fit in device memory",
                config.num_hidden_layers);
  }
  maker.keep_patterns();
  return made;
}

}  // namespace ft::eval
