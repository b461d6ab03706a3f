#include "server/model_loader.h"

#include <chrono>
#include <exception>
#include <filesystem>
#include <new>
#include <utility>

#include "core/backend_factory.h"
#include "core/machine_memory.h"
#include "core/release.h"
#include "core/weights.h"
#include "encoding/chat_template.h"
#include "encoding/ordered_json.h"
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

Result<std::shared_ptr<const ServedModel>> load(const Options& options,
                                                const std::function<void(double)>& progress,
                                                std::string& needs) {
  const auto begin = std::chrono::steady_clock::now();
  auto path = model_path(options);
  if (!path) return tl::make_unexpected(path.error());
  auto choice = parse_backend_choice(options.backend);
  if (!choice) return tl::make_unexpected(choice.error());
  std::string why;
  const Numerics numerics = options.mode == "exact" ? Numerics::kExact : Numerics::kOfficial;
  auto backend = make_backend(*choice, numerics, options.threads, &why);
  if (!backend) return tl::make_unexpected(backend.error());
  log(LogLevel::kInfo, "backend {}", why);

  log(LogLevel::kInfo, "loading {}", *path);
  ProgressLog progress_log(progress);
  auto checkpoint = Checkpoint::load(*path, **backend, std::ref(progress_log));
  if (!checkpoint) return tl::make_unexpected(checkpoint.error());
  for (const std::string& warning : (*checkpoint)->warnings()) log(LogLevel::kWarn, "{}", warning);
  const ModelConfig& config = (*checkpoint)->config();
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

  auto model = std::make_shared<ServedModel>();
  model->names = options.served_model_names.empty() ? std::vector<std::string>{folder_name(*path)}
                                                    : options.served_model_names;
  model->path = *path;
  model->created =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  model->profile = chat_profile(options, config);
  model->thinking = options.thinking;
  model->default_max_tokens = options.default_max_tokens;
  model->bos = config.bos_token_id;
  model->eos.assign(config.eos_token_ids.begin(), config.eos_token_ids.end());
  model->backend_description = why;
  model->weight_files = (*checkpoint)->mapped_files();
  model->tokenizer = std::move(*tokenizer);
  model->vocabulary = std::make_shared<const grammar::Vocabulary>(
      encoding::text_tokens(*model->tokenizer, config.vocab_size), model->eos);

  auto requested = engine_settings(options);
  if (!requested) return tl::make_unexpected(requested.error());
  const auto planned = scheduler::resolve(*requested, config);
  if (!planned) return tl::make_unexpected(planned.error());
  const std::vector<scheduler::MemoryPart> memory = scheduler::memory_parts(config, *planned, kOptionNames);
  needs = scheduler::memory_text(memory);
  if (auto fits = scheduler::check_memory(memory, (*backend)->memory_limit()); !fits)
    return tl::make_unexpected(fits.error());
  auto engine = scheduler::Engine::create(**backend, **checkpoint, *requested);
  if (!engine) return tl::make_unexpected(engine.error());
  const scheduler::EngineOptions& resolved = (*engine)->options();
  model->memory = memory;
  model->release = release_name(config);
  model->weights = (*checkpoint)->parts();
  model->warnings = (*checkpoint)->warnings();
  model->context = resolved.context;
  model->cache_tokens = resolved.cache_tokens;
  model->tree_nodes = resolved.tree_nodes;
  model->tree_nodes_max = tree_nodes_max(resolved);
  model->drafter = std::string((*engine)->drafter_name());
  model->drafters = offered_drafters(**engine);
  model->costs_origin = (*engine)->costs_origin();
  model->backend =
      std::make_unique<EngineBackend>(std::move(*backend), std::move(*checkpoint), std::move(*engine));
  progress(1.0);
  if (!model->costs_origin.empty()) log(LogLevel::kInfo, "costs of steps: {}", model->costs_origin);
  log(LogLevel::kInfo,
      "ready in {:.2f} s: {} with drafter {}, {} {} rows per request and step, context {}, {} cached tokens",
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), model->names.front(),
      model->drafter, model->tree_nodes == 0 ? "up to" : "always", model->tree_nodes_limit(), model->context,
      model->cache_tokens);
  return std::shared_ptr<const ServedModel>(std::move(model));
}

Result<std::shared_ptr<const ServedModel>> load_model(const Options& options,
                                                      const std::function<void(double)>& progress) {
  std::string needs = "nothing but the weights was asked for yet";
  try {
    return load(options, progress, needs);
  } catch (const std::bad_alloc&) {
    const MemoryLimit limit = host_memory_limit();
    return fail(ErrorCode::kTooLarge, "out of memory ({} is {}); needed at least, beside the weights: {}",
                limit.what, bytes_text(limit.bytes), needs);
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUnavailable, "{}", error.what());
  }
}

std::string describe_json(const ServedModel& model, const Options& options) {
  using encoding::Json;
  Json weights = Json::array();
  for (const WeightPart& part : model.weights) {
    Json formats = Json::array();
    for (const std::string& format : part.formats) formats.push_back(format);
    Json entry = Json::object();
    entry.set("part", part.name);
    entry.set("formats", std::move(formats));
    entry.set("tensors", part.tensors);
    entry.set("bytes", part.bytes);
    weights.push_back(std::move(entry));
  }
  Json memory = Json::array();
  for (const scheduler::MemoryPart& part : model.memory) {
    Json entry = Json::object();
    entry.set("part", part.name);
    entry.set("bytes", part.bytes);
    entry.set("for", part.cause);
    memory.push_back(std::move(entry));
  }
  Json warnings = Json::array();
  for (const std::string& warning : model.warnings) warnings.push_back(warning);
  Json drafters = Json::array();
  for (const std::string& name : model.drafters) drafters.push_back(name);
  Json names = Json::array();
  for (const std::string& name : model.names) names.push_back(name);
  Json json = Json::object();
  json.set("served_model_names", std::move(names));
  json.set("model", model.path);
  json.set("release", model.release);
  json.set("weights", std::move(weights));
  json.set("memory", std::move(memory));
  json.set("warnings", std::move(warnings));
  json.set("backend", model.backend_description);
  json.set("drafter", model.drafter);
  json.set("drafters", std::move(drafters));
  json.set("tree_nodes", static_cast<int64_t>(model.tree_nodes));
  json.set("tree_nodes_max", static_cast<int64_t>(model.tree_nodes_max));
  json.set("context", model.context);
  json.set("cache_tokens", model.cache_tokens);
  json.set("max_sequences", static_cast<int64_t>(options.max_sequences));
  json.set("batch_rows", static_cast<int64_t>(options.batch_rows));
  json.set("prefill_chunk", static_cast<int64_t>(options.prefill_chunk));
  json.set("prefix_cache_mib", options.prefix_cache_mib);
  json.set("canary_rate", options.canary_rate);
  json.set("state_dir", options.state_dir);
  json.set("costs", model.costs_origin);
  json.set("vocab_size", static_cast<int64_t>(model.tokenizer->vocab_size()));
  json.set("chat_profile", model.profile->name);
  json.set("thinking", model.thinking);
  return json.dump();
}

}  // namespace ft::server
