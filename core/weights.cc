// Loading: the tree of visit_weights filled from mapped files.
#include "core/weights.h"

#include <unistd.h>

#include <filesystem>
#include <string_view>

#include "core/file.h"
#include "core/safetensors.h"
#include "core/weight_loader.h"

namespace ft {
namespace {

constexpr int64_t kMaxConfigBytes = 16 << 20;
constexpr std::string_view kHuggingFacePrefix = "model.";

std::string_view without_prefix(std::string_view name) {
  return name.starts_with(kHuggingFacePrefix) ? name.substr(kHuggingFacePrefix.size()) : name;
}

// What a tensor is that the tree has no place for.
enum class Leftover {
  kComputed,  // convert.py drops it or we compute it (docs/spec/model.md 2.3): not worth a word
  kVision,    // of the image side
  kDraft,
  kUnknown,        // outside the blocks
  kContradiction,  // in a block: the config describes another model than the files hold
};

bool is_computed(std::string_view name) {
  if (name.ends_with(".inv_freq")) return true;
  if (!name.starts_with("mtp.")) return false;
  // Some MTP blocks repeat the embedding and the head.
  const size_t dot = name.find('.', 4);
  const std::string_view rest = dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
  return rest.starts_with("emb") || rest == "head.weight";
}

bool is_vision(std::string_view name) {
  // The router's second bias chooses experts at the places of images only.
  return name.starts_with("vision.") || name.starts_with("aligner.") || name.starts_with("image_") ||
         name.ends_with(".ffn.gate.bias_vl");
}

// Layers that route by a table have no bias to route by, though some files hold one.
bool is_bias_of_hash_layer(std::string_view name, const ModelConfig& config) {
  for (int i = 0; i < config.num_hash_layers; ++i)
    if (name == fmt::format("layers.{}.ffn.gate.bias", i)) return true;
  return false;
}

Leftover leftover_kind(std::string_view name, const ModelConfig& config) {
  if (is_computed(name)) return Leftover::kComputed;
  if (is_vision(name)) return Leftover::kVision;
  if (name.starts_with("mtp.")) return Leftover::kDraft;
  if (is_bias_of_hash_layer(name, config) || !name.starts_with("layers.")) return Leftover::kUnknown;
  return Leftover::kContradiction;
}

// Counts leftovers of one kind, for a warning.
struct LeftoverCount {
  int64_t tensors = 0;
  std::string_view first;

  void add(std::string_view name) {
    if (tensors++ == 0) first = name;
  }
};

Result<void> check_leftovers(const SafetensorsIndex& index, const ModelConfig& config,
                             const WeightLoader& loader, bool has_draft, std::vector<std::string>& warnings) {
  LeftoverCount vision;
  LeftoverCount draft;
  LeftoverCount unknown;
  for (const auto& [name, tensor] : index.tensors()) {
    if (loader.used(tensor)) continue;
    switch (leftover_kind(without_prefix(name), config)) {
      case Leftover::kComputed:
        break;
      case Leftover::kVision:
        vision.add(name);
        break;
      case Leftover::kDraft:
        draft.add(name);
        break;
      case Leftover::kUnknown:
        unknown.add(name);
        break;
      case Leftover::kContradiction:
        return fail(ErrorCode::kInvalidFile,
                    "{}: tensor {} has no place in the model of config.json (num_hidden_layers {}, "
                    "num_hash_layers {}, n_routed_experts {})",
                    tensor->file->path(), name, config.num_hidden_layers, config.num_hash_layers,
                    config.n_routed_experts);
    }
  }
  const auto warn = [&](const LeftoverCount& count, std::string_view why) {
    if (count.tensors == 0) return;
    warnings.push_back(fmt::format("{}: {} tensor{} left out, {} (the first: {})", index.path(),
                                   count.tensors, count.tensors == 1 ? " is" : "s are", why, count.first));
  };
  warn(vision, "because they are of the image side, which is not served");
  // A draft that is left out has said why.
  if (has_draft || (config.num_nextn_predict_layers == 0 && !config.has_dspark())) {
    warn(draft, "because the draft of config.json has no place for them");
  }
  warn(unknown, "because they are unknown");
  return {};
}

// Reading ahead pays while the weights fit in memory beside everything else; beyond that it evicts what was
// just read.
bool fits_in_half_of_memory(int64_t bytes) {
  return bytes / sysconf(_SC_PAGESIZE) < sysconf(_SC_PHYS_PAGES) / 2;
}

}  // namespace

struct Checkpoint::Storage {
  std::unique_ptr<SafetensorsIndex> index;
  std::vector<AlignedBytes> copies;  // widened vectors, narrowed tables and scales, unaligned weights
};

Checkpoint::Checkpoint() : storage_(std::make_unique<Storage>()) {}
Checkpoint::~Checkpoint() = default;

CheckpointFiles::CheckpointFiles() = default;
CheckpointFiles::~CheckpointFiles() = default;
CheckpointFiles::CheckpointFiles(CheckpointFiles&&) noexcept = default;
CheckpointFiles& CheckpointFiles::operator=(CheckpointFiles&&) noexcept = default;

Result<CheckpointFiles> CheckpointFiles::open(const std::string& path) {
  const std::string config_path = (std::filesystem::path(path) / "config.json").string();
  auto text = read_file(config_path, kMaxConfigBytes);
  if (!text) return tl::make_unexpected(text.error());
  CheckpointFiles files;
  files.config_text = std::move(*text);
  auto config = ModelConfig::parse(files.config_text, config_path, &files.warnings);
  if (!config) return tl::make_unexpected(config.error());
  files.config = std::move(*config);
  auto index = SafetensorsIndex::open(path);
  if (!index) return tl::make_unexpected(index.error());
  files.index = std::move(*index);
  return files;
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::load(CheckpointFiles files, WeightPlacer& placer,
                                                     const std::function<void(int64_t, int64_t)>& progress) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint);
  checkpoint->config_ = std::move(files.config);
  checkpoint->warnings_ = std::move(files.warnings);
  checkpoint->storage_->index = std::move(files.index);
  if (auto filled = checkpoint->fill(placer, progress); !filled) return tl::make_unexpected(filled.error());
  return checkpoint;
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::load(const std::string& path, WeightPlacer& placer,
                                                     const std::function<void(int64_t, int64_t)>& progress) {
  auto files = CheckpointFiles::open(path);
  if (!files) return tl::make_unexpected(files.error());
  return load(std::move(*files), placer, progress);
}

Result<void> Checkpoint::fill(WeightPlacer& placer, const std::function<void(int64_t, int64_t)>& progress) {
  const SafetensorsIndex& files = *storage_->index;
  warnings_.insert(warnings_.end(), files.warnings().begin(), files.warnings().end());
  WeightLoader loader(files, placer, storage_->copies, progress);
  const auto leave_out_draft = [&] {
    draft_problem_ = loader.error()->message;
    warnings_.push_back("the draft is left out: " + draft_problem_);
    loader.forget_error();
    weights_.mtp.clear();
    weights_.dspark.reset();
  };

  // All is looked at before anything is read, which takes minutes.
  loader.set_checking(true);
  visit_model(config_, weights_, loader);
  if (loader.error()) return tl::make_unexpected(*loader.error());
  visit_drafts(config_, weights_, loader);
  if (loader.error()) leave_out_draft();
  const bool has_draft = !weights_.mtp.empty() || weights_.dspark != nullptr;
  if (auto checked = check_leftovers(files, config_, loader, has_draft, warnings_); !checked) return checked;

  loader.set_checking(false);
  const RankGroup ranks = placer.ranks();
  if (ranks.size == 1) {
    if (fits_in_half_of_memory(files.total_bytes())) files.prefetch();
  } else {
    const int64_t own_bytes = rank_share(config_, ranks).total();
    loader.set_total_bytes(own_bytes);
    // Ranks may share the machine.
    loader.set_reading_ahead(fits_in_half_of_memory(own_bytes * ranks.size));
  }
  visit_model(config_, weights_, loader);
  loader.finish();
  if (!loader.error() && has_draft) {
    visit_drafts(config_, weights_, loader);
    loader.finish();
    if (loader.error() && loader.error()->code == ErrorCode::kInvalidFile) leave_out_draft();
  }
  if (loader.error()) return tl::make_unexpected(*loader.error());
  if (loader.reads_files()) mapped_files_ = files.mappings();
  share_ = loader.share();
  parts_ = loader.parts();
  if (progress) progress(weight_bytes(), weight_bytes());
  return {};
}

}  // namespace ft
