#include "core/config_rope.h"

#include <cmath>

namespace ft {
namespace {

constexpr double kMaxFrequencyBase = 1e12;
constexpr double kMaxFactor = 1e4;
// The last position that float32 holds exactly (angles are float32).
constexpr int64_t kMaxPositions = 1 << 24;
constexpr int64_t kMaxRopeDim = 4096;

constexpr const char* kMainNames[] = {"main", "sliding_attention"};
constexpr const char* kCompressNames[] = {"compress", "compressed_sparse_attention",
                                          "heavily_compressed_attention"};

// What one object says of a kind of layers.
struct Rope {
  std::optional<RopeScaling> scaling;
  std::optional<double> theta;
  std::optional<double> partial;  // share of head_dim that is rotated
};

// Takes `value` for `known`, or refuses where another has been read before.
template <class T>
void agree(const ConfigKeys& keys, std::string_view what, std::optional<T>& known,
           const std::optional<T>& value) {
  if (!value) return;
  if (known && !(*known == *value)) keys.refuse(fmt::format("says two things about {}", what));
  known = value;
}

RopeScaling read_yarn(const ConfigKeys& keys) {
  RopeScaling scaling;
  scaling.factor = keys.number("factor", 0.0, kMaxFactor);
  if (scaling.factor < 1.0) keys.reject("factor", "at least 1");
  scaling.beta_fast = keys.number("beta_fast", 0.0, kMaxFactor);
  scaling.beta_slow = keys.number("beta_slow", 0.0, kMaxFactor);
  if (scaling.beta_slow > scaling.beta_fast) {
    keys.reject("beta_slow", fmt::format("at most beta_fast, {}", scaling.beta_fast));
  }
  scaling.original_max_position_embeddings =
      keys.integer("original_max_position_embeddings", 1, kMaxPositions);
  return scaling;
}

// `yarn`: whether these layers may be scaled.
Rope read_kind(const ConfigKeys& keys, bool yarn) {
  Rope rope;
  // DeepSeek-V4 does not scale attention with the context, which other models with YaRN do.
  for (const char* key : {"attention_factor", "attn_factor", "mscale", "mscale_all_dim"})
    if (keys.has(key) && keys.value(key) != 1) keys.reject(key, "1 or no such key");
  const char* type = keys.has("rope_type") || !keys.has("type") ? "rope_type" : "type";
  if (keys.has("type") && keys.has("rope_type") && keys.value("type") != keys.value("rope_type")) {
    keys.reject("type", "the same as rope_type");
  }
  if (keys.is(type, "default")) {
    rope.scaling.emplace();
  } else if (yarn && keys.is(type, "yarn")) {
    rope.scaling = read_yarn(keys);
  } else {
    keys.reject(type, yarn ? "\"yarn\" or \"default\"" : "\"default\"");
  }
  if (keys.has("rope_theta")) rope.theta = keys.number("rope_theta", 1.0, kMaxFrequencyBase);
  if (keys.has("partial_rotary_factor")) rope.partial = keys.number("partial_rotary_factor", 0.0, 1.0);
  for (const std::string& key : keys.unknown()) keys.warn(fmt::format("{} is unknown and ignored", key));
  return rope;
}

void read_parameters(const ConfigKeys& keys, Rope& main, Rope& compressed) {
  const ConfigKeys parameters = keys.inside("rope_parameters");
  bool nested = false;
  const auto read = [&](const char* name, bool yarn, Rope& into) {
    if (!parameters.has(name)) return;
    nested = true;
    const Rope kind = read_kind(parameters.inside(name), yarn);
    agree(keys, "the rope_type of rope_parameters", into.scaling, kind.scaling);
    agree(keys, "the rope_theta of rope_parameters", into.theta, kind.theta);
    agree(keys, "the partial_rotary_factor of rope_parameters", into.partial, kind.partial);
  };
  for (const char* name : kMainNames) read(name, false, main);
  for (const char* name : kCompressNames) read(name, true, compressed);
  if (!nested) {
    const Rope flat = read_kind(parameters, true);
    compressed.scaling = flat.scaling;
    main.theta = flat.theta;
    main.partial = compressed.partial = flat.partial;
    return;
  }
  if (!compressed.scaling) {
    parameters.reject("compress", "the rotation of compressed layers, beside that of the others");
  }
  for (const std::string& key : parameters.unknown())
    keys.warn(fmt::format("{} is unknown and ignored", key));
}

double base_of(const ConfigKeys& keys, const char* key, std::optional<double> known) {
  if (keys.has(key) || !known)
    agree(keys, key, known, std::optional(keys.number(key, 1.0, kMaxFrequencyBase)));
  return *known;
}

}  // namespace

void read_rope(const ConfigKeys& keys, ModelConfig& config) {
  Rope main;
  Rope compressed;
  if (keys.has("rope_parameters")) read_parameters(keys, main, compressed);
  if (keys.has("rope_scaling")) {
    const Rope rope = read_kind(keys.inside("rope_scaling"), true);
    agree(keys, "YaRN, in rope_scaling and rope_parameters", compressed.scaling, rope.scaling);
  }
  if (!compressed.scaling) {
    keys.warn(
        "has neither rope_scaling nor rope_parameters; no YaRN is assumed, which the published models have");
  }
  config.rope_scaling = compressed.scaling.value_or(RopeScaling{});
  config.rope_theta = base_of(keys, "rope_theta", main.theta);
  config.compress_rope_theta = base_of(keys, "compress_rope_theta", compressed.theta);

  std::optional<double> partial = main.partial;
  agree(keys, "partial_rotary_factor", partial, compressed.partial);
  if (keys.has("partial_rotary_factor")) {
    agree(keys, "partial_rotary_factor", partial,
          std::optional(keys.number("partial_rotary_factor", 0.0, 1.0)));
  }
  std::optional<int64_t> width;
  if (partial) {
    const double exact = *partial * static_cast<double>(config.head_dim);
    width = std::llround(exact);
    if (std::fabs(exact - static_cast<double>(*width)) > 1e-6) {
      keys.refuse(fmt::format("partial_rotary_factor {} of head_dim {} is no whole number", *partial,
                              config.head_dim));
    }
  }
  if (keys.has("qk_rope_head_dim") || !width) {
    agree(keys, "the width of the rotation (qk_rope_head_dim, partial_rotary_factor)", width,
          std::optional(keys.integer("qk_rope_head_dim", 2, kMaxRopeDim)));
  }
  config.qk_rope_head_dim = *width;
}

}  // namespace ft
