// Chooses the table of operations: what the build contains, what the CPU has and what the operating system saves.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "ops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace switchyard {
namespace {

#if defined(__x86_64__)

struct X86Features {
  bool avx2 = false;    // AVX2, FMA, F16C
  bool avx512 = false;  // F, BW, VL, DQ, VNNI, VBMI, BF16: Zen 4 and later, Sapphire Rapids and later
};

bool has(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

X86Features detect_x86() {
  X86Features found;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  if (!has(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return found;
  // XCR0 tells which registers the operating system saves on a context switch; cpuid alone would promise too much.
  uint32_t state_low, state_high;
  __asm__("xgetbv" : "=a"(state_low), "=d"(state_high) : "c"(0));
  if (!has(state_low, 0x06)) return found;  // xmm, ymm
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = has(b, bit_AVX2);
  const bool base = has(b, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ) &&
                    has(c, bit_AVX512VNNI | bit_AVX512VBMI);
  if (!found.avx2 || !base || !has(state_low, 0xe6)) return found;  // and opmask, upper zmm, zmm16-31
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return found;
  found.avx512 = has(a, bit_AVX512BF16);
  return found;
}

const Ops* avx2_if_supported() { return detect_x86().avx2 ? ops_avx2() : nullptr; }
const Ops* avx512_if_supported() { return detect_x86().avx512 ? ops_avx512() : nullptr; }
const Ops* neon_if_supported() { return nullptr; }

#elif defined(__aarch64__)

const Ops* avx2_if_supported() { return nullptr; }
const Ops* avx512_if_supported() { return nullptr; }
const Ops* neon_if_supported() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) ? ops_neon() : nullptr;
#else
  return ops_neon();  // every Apple CPU of this architecture has the dot product
#endif
}

#else

const Ops* avx2_if_supported() { return nullptr; }
const Ops* avx512_if_supported() { return nullptr; }
const Ops* neon_if_supported() { return nullptr; }

#endif

const Ops* best_supported() {
  if (const Ops* ops = avx512_if_supported()) return ops;
  if (const Ops* ops = avx2_if_supported()) return ops;
  if (const Ops* ops = neon_if_supported()) return ops;
  return ops_scalar();
}

// An unknown name gives nullptr, like a known one that this CPU lacks: a typing error must not go unnoticed.
const Ops* select_by_name(const char* name) {
  if (std::strcmp(name, "scalar") == 0) return ops_scalar();
  if (std::strcmp(name, "avx2") == 0) return avx2_if_supported();
  if (std::strcmp(name, "avx512") == 0) return avx512_if_supported();
  if (std::strcmp(name, "neon") == 0) return neon_if_supported();
  return nullptr;
}

}  // namespace

const Ops* select_ops(Isa isa) {
  switch (isa) {
    case Isa::automatic: {
      const char* name = std::getenv("SWITCHYARD_ISA");
      return name && *name ? select_by_name(name) : best_supported();
    }
    case Isa::scalar: return ops_scalar();
    case Isa::avx2: return avx2_if_supported();
    case Isa::avx512: return avx512_if_supported();
    case Isa::neon: return neon_if_supported();
  }
  return nullptr;
}

}  // namespace switchyard
