#include "server/model_loader.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include "core/backend_factory.h"
#include "core/weights.h"
#include "encoding/ordered_json.h"
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

// Checkpoints with a DSpark draft are the releases with the later effort texts; the embedded ones were
// trained on the preview's format.
const encoding::Profile* chat_profile(const Options& options, const ModelConfig& config) {
  if (options.chat_profile != "auto") return encoding::find_profile(options.chat_profile);
  return config.has_dspark() && !options.model.empty() ? &encoding::kFlash0731 : &encoding::kPreview;
}

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

Result<std::shared_ptr<const ServedModel>> load_model(const Options& options,
                                                      const std::function<void(double)>& progress) {
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
  const ModelConfig& config = (*checkpoint)->config();
  auto tokenizer = encoding::load_tokenizer(*path);
  if (!tokenizer) return fail(code_of(tokenizer.error()), "{}", tokenizer.error().message);
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
  model->eos = config.eos_token_id;
  model->backend_description = why;
  model->weight_files = (*checkpoint)->mapped_files();
  model->tokenizer = std::move(*tokenizer);

  auto requested = engine_settings(options);
  if (!requested) return tl::make_unexpected(requested.error());
  auto engine = scheduler::Engine::create(**backend, **checkpoint, *requested);
  if (!engine) return tl::make_unexpected(engine.error());
  const scheduler::EngineOptions& resolved = (*engine)->options();
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

std::string describe_json(const ServedModel& model, const Options& options) {
  using encoding::Json;
  Json drafters = Json::array();
  for (const std::string& name : model.drafters) drafters.push_back(name);
  Json names = Json::array();
  for (const std::string& name : model.names) names.push_back(name);
  Json json = Json::object();
  json.set("served_model_names", std::move(names));
  json.set("model", model.path);
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
