// SPDX-License-Identifier: Apache-2.0
#include "engine/model/layer_math.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kVectorRowsMax = 4;  // up to here a product is bound by reading the weights once

template <class T>
void multiply_few(const at::Tensor& x, const at::Tensor& weight, at::Tensor& out) {
  const std::int64_t rows = x.size(0), inputs = x.size(1), outputs = weight.size(0);
  std::vector<float> wide(static_cast<std::size_t>(rows * inputs));
  row::load(x.const_data_ptr<T>(), wide.data(), rows * inputs);
  const T* matrix = weight.const_data_ptr<T>();
  T* result = out.mutable_data_ptr<T>();
  at::parallel_for(0, outputs, std::max<std::int64_t>(1, 65536 / inputs), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n)
      for (std::int64_t r = 0; r < rows; ++r)
        result[r * outputs + n] = static_cast<T>(row::dot(wide.data() + r * inputs, matrix + n * inputs, inputs));
  });
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  auto out = at::empty_like(x);
  const std::int64_t n = x.size(1);
  with_type_of(x, [&](auto type) {
    using T = decltype(type);
    const T* from = x.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, x.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> wide(static_cast<std::size_t>(n));
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(from + r * n, wide.data(), n);
        row::rms_norm(wide.data(), weight.const_data_ptr<float>(), static_cast<float>(epsilon), wide.data(), n);
        row::store(wide.data(), to + r * n, n);
      }
    });
  });
  return out;
}

void rms_norm_backward(const at::Tensor& x, const at::Tensor& weight, double epsilon, const at::Tensor& dy, at::Tensor& dx) {
  const std::int64_t n = x.size(1);
  with_type_of(x, [&](auto type) {
    using T = decltype(type);
    const T *from = x.const_data_ptr<T>(), *gradient = dy.const_data_ptr<T>();
    T* to = dx.mutable_data_ptr<T>();
    at::parallel_for(0, x.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> buffer(static_cast<std::size_t>(3 * n));
      float *wide = buffer.data(), *wide_dy = wide + n, *wide_dx = wide_dy + n;
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(from + r * n, wide, n);
        row::load(gradient + r * n, wide_dy, n);
        row::load(to + r * n, wide_dx, n);
        row::rms_norm_backward(wide, weight.const_data_ptr<float>(), static_cast<float>(epsilon), wide_dy, wide_dx, n);
        row::store(wide_dx, to + r * n, n);
      }
    });
  });
}

at::Tensor swiglu(const at::Tensor& gate_up) {
  const std::int64_t n = gate_up.size(1) / 2;
  auto out = at::empty({gate_up.size(0), n}, gate_up.options());
  with_type_of(gate_up, [&](auto type) {
    using T = decltype(type);
    const T* from = gate_up.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, gate_up.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> wide(static_cast<std::size_t>(2 * n));
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(from + r * 2 * n, wide.data(), 2 * n);
        row::swiglu(wide.data(), wide.data() + n, wide.data(), n);
        row::store(wide.data(), to + r * n, n);
      }
    });
  });
  return out;
}

void swiglu_backward(at::Tensor& gate_up, const at::Tensor& dout) {
  const std::int64_t n = gate_up.size(1) / 2;
  with_type_of(gate_up, [&](auto type) {
    using T = decltype(type);
    T* both = gate_up.mutable_data_ptr<T>();
    const T* gradient = dout.const_data_ptr<T>();
    at::parallel_for(0, gate_up.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> wide(static_cast<std::size_t>(3 * n));
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(both + r * 2 * n, wide.data(), 2 * n);
        row::load(gradient + r * n, wide.data() + 2 * n, n);
        row::swiglu_backward(wide.data(), wide.data() + n, wide.data() + 2 * n, n);
        row::store(wide.data(), both + r * 2 * n, 2 * n);
      }
    });
  });
}

std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

at::Tensor drop(const at::Tensor& x, double rate, std::uint64_t key) {
  auto out = at::empty_like(x);
  const std::int64_t n = x.size(1);
  with_type_of(x, [&](auto type) {
    using T = decltype(type);
    const T* from = x.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, x.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> wide(static_cast<std::size_t>(n));
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(from + r * n, wide.data(), n);
        row::drop(wide.data(), rate, mix(key + static_cast<std::uint64_t>(r)), n);
        row::store(wide.data(), to + r * n, n);
      }
    });
  });
  return out;
}

at::Tensor multiply_transposed(const at::Tensor& x, const at::Tensor& weight) {
  if (x.size(0) > kVectorRowsMax) return at::linear(x, weight);
  auto out = at::empty({x.size(0), weight.size(0)}, x.options());
  with_type_of(x, [&](auto type) { multiply_few<decltype(type)>(x, weight, out); });
  return out;
}

}  // namespace redoubt::engine::model
