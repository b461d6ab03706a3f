#include "core/release.h"

namespace ft {
namespace {

// Sizes that tell the releases apart (docs/spec/model.md section 1).
struct Size {
  const char* name;
  int layers;
  int64_t width;
  int experts;
};
constexpr Size kSizes[] = {{"Flash", 43, 4096, 256}, {"Pro", 61, 7168, 384}};

}  // namespace

std::string release_name(const ModelConfig& config) {
  std::string kind;
  if (!config.experts_fp4) kind += "-Base";
  if (config.vision) kind += "-Vision-Exp";
  if (config.has_dspark() && !config.vision) kind += "-DSpark";
  for (const Size& size : kSizes) {
    if (config.num_hidden_layers == size.layers && config.hidden_size == size.width &&
        config.n_routed_experts == size.experts) {
      return fmt::format("DeepSeek-V4-{}{}", size.name, kind);
    }
  }
  return fmt::format("DeepSeek-V4{}, {} layers {} wide", kind, config.num_hidden_layers, config.hidden_size);
}

}  // namespace ft
