// Chooses the backend a program runs on, from what was asked for, what was built and what the machine has.
// Lives in ft_core_backends, which only programs link: unit tests stay free of the CUDA library.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/backend.h"
#include "core/error.h"
#include "core/ranks/backend_offer.h"

namespace ft {

enum class BackendChoice : uint8_t { kAuto, kCpu, kCuda, kReference };

// "exact" or "official"; anything else is kInvalidArgument.
Result<Numerics> parse_numerics(const std::string& mode);

// "auto", "cpu", "cuda" or "reference" (the values of --backend); anything else is kInvalidArgument.
Result<BackendChoice> parse_backend_choice(std::string_view name);

// "invariant" or "cublaslt" (the values of --prefill-gemm); anything else is kInvalidArgument.
Result<PrefillGemm> parse_prefill_gemm(std::string_view name);

// How the CPU backend runs. Neither changes a bit of what it computes.
struct CpuOptions {
  int threads = 0;  // 0 = all cores
  std::string target =
      "auto";  // instruction set: avx512-bf16, avx512-vnni, avx512, avx2, or the best there is
};

struct BackendOptions {
  BackendChoice choice = BackendChoice::kAuto;
  Numerics numerics = Numerics::kOfficial;
  PrefillGemm prefill = PrefillGemm::kInvariant;
  CpuOptions cpu;
};

// kAuto takes the CUDA device if there is one and the CPU otherwise; the others fail with the reason where
// they cannot be had. The target of `cpu` holds for all CPU backends of the process. `why` (may be null)
// receives one line for people when the backend is made: what was chosen and, for a fallback, why not the other.
// kCublasLt is kInvalidArgument with exact numerics and on any backend but CUDA, and kUnavailable without cuBLASLt.
Result<ranks::BackendOffer> offer_backend(const BackendOptions& options, std::string* why,
                                          RankGroup ranks = {});

// The same, made, where there is one rank.
Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options, std::string* why);

// What this rank can do of what a request of rank 0 asks for: ranks::OfferBackend.
Result<ranks::BackendOffer> offer_rank_backend(const ranks::ModelRequest& request, const ranks::Ranks& ranks,
                                               std::string* why = nullptr);

}  // namespace ft
