#include "eval/checkpoint_damage.h"

#include <cstring>
#include <filesystem>
#include <utility>

#include "core/file.h"

namespace ft::eval {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kMaxBytes = int64_t{1} << 32;
constexpr const char* kFile = "/model.safetensors";
constexpr const char* kIndex = "/model.safetensors.index.json";

struct Parts {
  std::string header;
  std::string data;
};

Result<Parts> read_parts(const std::string& folder) {
  auto bytes = read_file(folder + kFile, kMaxBytes);
  if (!bytes) return tl::make_unexpected(bytes.error());
  uint64_t length = 0;
  std::memcpy(&length, bytes->data(), sizeof(length));
  return Parts{bytes->substr(sizeof(length), length), bytes->substr(sizeof(length) + length)};
}

Result<void> write_parts(const std::string& folder, const Parts& parts, uint64_t length) {
  return replace_file(folder + kFile, std::string(reinterpret_cast<const char*>(&length), sizeof(length)) +
                                          parts.header + parts.data);
}

Result<void> with_header(const std::string& folder, const std::function<void(Json&)>& change) {
  auto parts = read_parts(folder);
  if (!parts) return tl::make_unexpected(parts.error());
  Json header = Json::parse(parts->header);
  change(header);
  parts->header = header.dump();
  return write_parts(folder, *parts, parts->header.size());
}

Result<void> truncate(const std::string& folder) {
  std::error_code failed;
  const auto size = fs::file_size(folder + kFile, failed);
  if (!failed) fs::resize_file(folder + kFile, size - size / 3, failed);
  if (failed) return fail(ErrorCode::kInvalidFile, "{}{}: {}", folder, kFile, failed.message());
  return {};
}

Result<void> overlap(const std::string& folder) {
  return with_header(folder, [](Json& header) {
    // Every tensor begins where the one before it began.
    int64_t before = 0;
    for (auto& item : header.items()) {
      Json& range = item.value()["data_offsets"];
      const int64_t begin = range[0];
      range[1] = before + (range[1].get<int64_t>() - begin);
      range[0] = before;
      before = begin;
    }
  });
}

Result<void> duplicate_keys(const std::string& folder) {
  auto parts = read_parts(folder);
  if (!parts) return tl::make_unexpected(parts.error());
  const Json header = Json::parse(parts->header);
  const Json first(header.items().begin().key());
  parts->header =
      "{" + first.dump() + ":" + header.items().begin().value().dump() + "," + parts->header.substr(1);
  return write_parts(folder, *parts, parts->header.size());
}

Result<void> cyclic_index(const std::string& folder) {
  std::error_code failed;
  fs::rename(folder + kFile, folder + "/other.safetensors", failed);
  if (!failed) fs::create_symlink("loop.safetensors", folder + "/loop.safetensors", failed);
  if (failed) return fail(ErrorCode::kInvalidFile, "{}: {}", folder, failed.message());
  return replace_file(folder + kIndex, R"({"weight_map":{"embed.weight":"loop.safetensors"}})");
}

}  // namespace

std::vector<CheckpointForm> refused_forms() {
  std::vector<CheckpointForm> forms;
  const auto damaged = [&](std::string_view name, std::string_view what,
                           std::function<Result<void>(const std::string&)> damage) {
    forms.push_back({name, what, true, {}, {}, std::move(damage)});
  };
  const auto foreign = [&](std::string_view name, std::string_view what, std::function<void(Json&)> change) {
    forms.push_back({name,
                     what,
                     true,
                     {},
                     [change = std::move(change)](CheckpointPlan& plan) { change(plan.config); },
                     {}});
  };
  damaged("truncated", "a file that ends too early", truncate);
  damaged("lfs-pointer", "a Git LFS pointer instead of the weights", [](const std::string& folder) {
    return replace_file(
        folder + kFile,
        "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 5274934544\n");
  });
  damaged("overlapping", "tensors that share bytes", overlap);
  damaged("duplicate-keys", "a header that describes a tensor twice", duplicate_keys);
  damaged("huge-header", "a header length of 2 GiB", [](const std::string& folder) -> Result<void> {
    const auto parts = read_parts(folder);
    if (!parts) return tl::make_unexpected(parts.error());
    return write_parts(folder, *parts, uint64_t{2} << 30);
  });
  damaged("cyclic-index", "an index whose file is a link to itself", cyclic_index);
  damaged("self-index", "an index that names itself as a file of weights", [](const std::string& folder) {
    return replace_file(folder + kIndex, R"({"weight_map":{"embed.weight":"model.safetensors.index.json"}})");
  });
  damaged("bad-scale", "F32 scales that are no powers of two", {});
  forms.back().plan = [](CheckpointPlan& plan) {
    for (TensorPlan& tensor : plan.tensors) {
      if (tensor.content != TensorPlan::Content::kScale) continue;
      tensor.dtype = DType::kF32;
      if (tensor.name == "layers.0.attn.wkv.scale") tensor.content = TensorPlan::Content::kNorm;
    }
  };
  foreign("v41", "DeepSeek-V4.1", [](Json& config) {
    config["architectures"] = {"DeepseekV41ForCausalLM"};
    config["model_type"] = "deepseek_v41";
  });
  foreign("nvfp4", "a ModelOpt NVFP4 re-pack", [](Json& config) {
    config["quantization_config"] = {
        {"quant_method", "modelopt"}, {"quant_algo", "MIXED_PRECISION"}, {"moe_quant_algo", "NVFP4"}};
  });
  foreign("compressed-tensors", "a compressed-tensors re-pack", [](Json& config) {
    config["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                     {"format", "nvfp4-pack-quantized"}};
  });
  return forms;
}

}  // namespace ft::eval
