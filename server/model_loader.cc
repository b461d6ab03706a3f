#include "server/model_loader.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/backend_factory.h"
#include "core/machine_memory.h"
#include "core/process_memory.h"
#include "core/ranks/shared_model.h"
#include "core/release.h"
#include "core/weights.h"
#include "encoding/chat_template.h"
#include "encoding/text_tokens.h"
#include "scheduler/engine.h"
#include "server/engine_backend.h"
#include "server/engine_settings.h"
#include "server/log.h"

namespace ft::server {
namespace {

namespace fs = std::filesystem;

// The embedded checkpoint: where it was when this was compiled, else beside the program.
Result<std::string> model_path(const Options& options) {
  std::error_code error;
  if (!options.model.empty()) {
    if (!fs::is_directory(options.model, error)) {
      return fail(ErrorCode::kNotFound, "--model {}: not a folder", options.model);
    }
    return options.model;
  }
  const fs::path compiled = FT_DEFAULT_MODEL;
  if (fs::is_directory(compiled, error)) return compiled.string();
  const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* up : {"..", "../..", "../../.."}) {
    const fs::path beside = program / up / "models" / compiled.filename();
    if (fs::is_directory(beside, error)) return fs::canonical(beside, error).string();
  }
  return fail(ErrorCode::kNotFound, "the embedded checkpoint is not at {}: name one with --model",
              compiled.string());
}

const encoding::Profile* chat_profile(const Options& options, const ModelConfig& config) {
  if (options.chat_profile != "auto") return encoding::find_profile(options.chat_profile);
  return &encoding::profile_of_checkpoint(config.has_dspark(), config.vocab_size);
}

// What the options that ask for memory are called on the command line.
const scheduler::OptionNames kOptionNames = {"--max-sequences", "--context", "--kv-cache-mib", "--batch-rows",
                                             "--prefix-cache-mib"};

std::string folder_name(const std::string& path) {
  fs::path folder(path);
  if (!folder.has_filename()) folder = folder.parent_path();
  const std::string name = folder.filename().string();
  return name.empty() || name == "." || name == ".."
             ? fs::absolute(folder).lexically_normal().filename().string()
             : name;
}

ErrorCode code_of(const encoding::EncodingError& error) {
  return error.kind == encoding::ErrorKind::kFileNotFound ? ErrorCode::kNotFound : ErrorCode::kInvalidFile;
}

class ProgressLog {
 public:
  explicit ProgressLog(const std::function<void(double)>& progress) : progress_(progress) {}

  void operator()(int64_t done, int64_t total) {
    if (total <= 0) return;
    progress_(static_cast<double>(done) / static_cast<double>(total));
    const int tenth = static_cast<int>(done * 10 / total);
    if (tenth <= tenth_) return;
    tenth_ = tenth;
    log(LogLevel::kInfo, "weights {} %, {} of {} MiB", tenth * 10, done >> 20, total >> 20);
  }

 private:
  const std::function<void(double)>& progress_;
  int tenth_ = 0;
};

}  // namespace

Result<void> load(const Options& options, ranks::Ranks& ranks, const std::function<void(double)>& progress,
                  ServedModel& model, std::string& needs) {
  auto path = model_path(options);
  if (!path) return tl::make_unexpected(path.error());
  std::string why;
  const auto offer = [&why](const ranks::ModelRequest& request, const ranks::Ranks& all) {
    auto offered = offer_rank_backend(request, all, &why);
    if (!offered) return offered;
    offered->make = [&why, make = std::move(offered->make)] {
      auto made = make();
      if (made) log(LogLevel::kInfo, "backend {}", why);
      return made;
    };
    return offered;
  };
  log(LogLevel::kInfo, "loading {}{}", *path,
      ranks.size() == 1 ? "" : fmt::format(" on {} ranks", ranks.size()));
  ProgressLog progress_log(progress);
  auto shared = ranks::open_shared_model(
      ranks,
      {*path, options.backend, options.mode, options.cpu_target, options.threads, options.prefill_gemm},
      offer, std::ref(progress_log));
  if (!shared) return tl::make_unexpected(shared.error());
  std::unique_ptr<Backend> backend = std::move(shared->backend);
  std::unique_ptr<Checkpoint> checkpoint = std::move(shared->checkpoint);
  model.ranks = std::move(shared->parts);
  if (ranks.size() > 1)
    for (const ranks::LoadedPart& part : model.ranks)
      log(LogLevel::kInfo, "{} has read {:.1f} MiB of weights", part.rank,
          static_cast<double>(part.bytes) / (1 << 20));
  for (const std::string& warning : checkpoint->warnings()) log(LogLevel::kWarn, "{}", warning);
  const ModelConfig& config = checkpoint->config();
  const int planned_ranks = std::max({1, ranks.size(), options.ranks});
  for (int rank = 0; rank < planned_ranks; ++rank)
    model.rank_plan.push_back(rank_share(config, {rank, planned_ranks, nullptr}));
  model.path = *path;
  model.names = options.served_model_names.empty() ? std::vector<std::string>{folder_name(*path)}
                                                   : options.served_model_names;
  model.backend_description = why;
  model.release = release_name(config);
  model.weights = checkpoint->parts();
  model.warnings = checkpoint->warnings();
  model.weight_files = checkpoint->mapped_files();

  const int64_t without_text = process_memory();
  auto tokenizer = encoding::load_tokenizer(*path);
  if (!tokenizer) return fail(code_of(tokenizer.error()), "{}", tokenizer.error().message);
  if (auto complete = encoding::check_chat_tokens(**tokenizer); !complete) {
    return fail(code_of(complete.error()), "{}: {}", *path, complete.error().message);
  }
  if ((*tokenizer)->vocab_size() > config.vocab_size) {
    return fail(ErrorCode::kInvalidFile,
                "{}: the tokenizer has {} tokens, but vocab_size in config.json is {}", *path,
                (*tokenizer)->vocab_size(), config.vocab_size);
  }
  model.tokenizer = std::move(*tokenizer);
  model.created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  model.profile = chat_profile(options, config);
  model.thinking = options.thinking;
  model.default_max_tokens = options.default_max_tokens;
  model.bos = config.bos_token_id;
  model.eos.assign(config.eos_token_ids.begin(), config.eos_token_ids.end());
  const auto vocabulary = [&, text = model.tokenizer.get()](std::string_view markup) {
    return std::make_shared<const grammar::Vocabulary>(
        encoding::text_tokens(*text, config.vocab_size, markup), model.eos,
        [text](std::string_view bytes) { return text->settled(bytes); });
  };
  model.vocabulary = vocabulary({});
  model.call_vocabulary = vocabulary(encoding::kDsmlToken);
  const int64_t text = process_memory() - without_text;

  auto requested = engine_settings(options);
  if (!requested) return tl::make_unexpected(requested.error());
  const auto planned = scheduler::resolve(*requested, config, backend->cache_format(), kOptionNames);
  if (!planned) return tl::make_unexpected(planned.error());
  model.memory = scheduler::memory_parts(config, scheduler::draft_layers(*checkpoint, *planned), *planned,
                                         backend->cache_format(), kOptionNames);
  needs = scheduler::memory_text(model.memory);
  if (auto fits = scheduler::check_memory(model.memory, backend->memory_limit()); !fits) return fits;
  model.memory.push_back({"text", text, "the tokenizer and what constraints read of it", true});
  auto engine = scheduler::Engine::create(*backend, *checkpoint, *requested);
  if (!engine) return tl::make_unexpected(engine.error());
  const scheduler::EngineOptions& resolved = (*engine)->options();
  model.context = resolved.context;
  model.cache_tokens = resolved.cache_tokens;
  model.tree_nodes = resolved.tree_nodes;
  model.tree_nodes_max = tree_nodes_max(resolved);
  model.drafter = std::string((*engine)->drafter_name());
  model.drafters = offered_drafters(**engine);
  model.costs_origin = (*engine)->costs_origin();
  model.backend =
      std::make_unique<EngineBackend>(std::move(backend), std::move(checkpoint), std::move(*engine));
  progress(1.0);
  if (!model.costs_origin.empty()) log(LogLevel::kInfo, "costs of steps: {}", model.costs_origin);
  return {};
}

Result<void> load_model(const Options& options, ranks::Ranks& ranks,
                        const std::function<void(double)>& progress, ServedModel& model) {
  std::string needs = "nothing but the weights was asked for yet";
  try {
    return load(options, ranks, progress, model, needs);
  } catch (const std::bad_alloc&) {
    const MemoryLimit limit = host_memory_limit();
    return fail(ErrorCode::kTooLarge, "out of memory ({} is {}); needed at least, beside the weights: {}",
                limit.what, bytes_text(limit.bytes), needs);
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUnavailable, "{}", error.what());
  }
}

std::string summary(const ServedModel& model) {
  return fmt::format("{} with drafter {}, {} {} rows per request and step, context {}, {} cached tokens",
                     model.names.front(), model.drafter, model.tree_nodes == 0 ? "up to" : "always",
                     model.tree_nodes_limit(), model.context, model.cache_tokens);
}

std::string describe_json(const ServedModel& model, const Options& options, const std::string& error) {
  using Json = nlohmann::ordered_json;
  Json json;
  json["served_model_names"] = model.names;
  json["model"] = model.path;
  json["release"] = model.release;
  for (const WeightPart& part : model.weights) {
    json["weights"].push_back(
        {{"part", part.name}, {"formats", part.formats}, {"tensors", part.tensors}, {"bytes", part.bytes}});
  }
  json["warnings"] = model.warnings;
  json["backend"] = model.backend_description;
  const auto memory_of_rank = [&](size_t rank) {
    // What a program takes by itself is known of those that run.
    int64_t bytes =
        model.rank_plan[rank].total() + model.ranks[std::min(rank, model.ranks.size() - 1)].program;
    for (const scheduler::MemoryPart& part : model.memory)
      if (rank == 0 || !part.only_of_rank_0) bytes += part.bytes;
    return bytes;
  };
  for (size_t rank = 0; rank < model.rank_plan.size(); ++rank) {
    const RankShare& plan = model.rank_plan[rank];
    Json entry = {{"rank", rank},
                  {"planned_bytes", plan.total()},
                  {"of_every_rank", plan.replicated},
                  {"of_this_rank", plan.sharded},
                  {"memory_bytes", memory_of_rank(rank)}};
    if (model.ranks.size() == model.rank_plan.size()) {
      entry["process"] = model.ranks[rank].rank;
      entry["read_bytes"] = model.ranks[rank].bytes;
    }
    json["ranks"].push_back(entry);
  }
  if (model.tokenizer) {
    json["vocab_size"] = model.tokenizer->vocab_size();
    json["chat_profile"] = model.profile->name;
    json["thinking"] = model.thinking;
  }
  for (const scheduler::MemoryPart& part : model.memory) {
    json["memory"].push_back({{"part", part.name}, {"bytes", part.bytes}, {"for", part.cause}});
  }
  if (model.backend) {
    json["drafter"] = model.drafter;
    json["drafters"] = model.drafters;
    json["tree_nodes"] = model.tree_nodes;
    json["tree_nodes_max"] = model.tree_nodes_max;
    json["context"] = model.context;
    json["cache_tokens"] = model.cache_tokens;
    json["max_sequences"] = options.max_sequences;
    json["batch_rows"] = options.batch_rows;
    json["prefill_chunk"] = options.prefill_chunk;
    json["prefix_cache_mib"] = options.prefix_cache_mib;
    json["canary_rate"] = options.canary_rate;
    json["state_dir"] = options.state_dir;
    json["costs"] = model.costs_origin;
  }
  if (!error.empty()) json["error"] = error;
  // A folder's name may be any bytes.
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ft::server
