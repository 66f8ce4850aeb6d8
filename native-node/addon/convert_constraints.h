// Constraints of a request (NativeConstraints of server/binding.ts), with the checks of convert.h.
#pragma once

#include <napi.h>

#include "engine.h"

namespace switchyard {

// Absent: none.
Constraints read_constraints(Napi::Env env, const Napi::Value& value);

}  // namespace switchyard
