// SPDX-License-Identifier: Apache-2.0
#include "engine/model/layer_math.h"

#include "engine/model/dense_products.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kVectorRowsMax = 4;  // up to here a product is bound by reading the weights once

template <class T>
void multiply_few(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::Tensor& out) {
  const std::int64_t rows = x.size(0), inputs = x.size(1), outputs = weight.size(0);
  std::vector<float> wide(static_cast<std::size_t>(rows * inputs));
  row::load(x.const_data_ptr<T>(), wide.data(), rows * inputs);
  const T* matrix = weight.const_data_ptr<T>();
  const T* added = bias.defined() ? bias.const_data_ptr<T>() : nullptr;
  T* result = out.mutable_data_ptr<T>();
  at::parallel_for(0, outputs, std::max<std::int64_t>(1, 65536 / inputs), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n)
      for (std::int64_t r = 0; r < rows; ++r)
        result[r * outputs + n] = static_cast<T>(row::dot(wide.data() + r * inputs, matrix + n * inputs, inputs) +
                                                 (added ? static_cast<float>(added[n]) : 0.0f));
  });
}

}  // namespace

at::Tensor normalise(const at::Tensor& x, const Norm& norm, double epsilon) {
  auto out = at::empty_like(x);
  const std::int64_t n = x.size(1);
  const float* weight = norm.weight.const_data_ptr<float>();
  const float* bias = norm.bias.defined() ? norm.bias.const_data_ptr<float>() : nullptr;
  with_type_of(x, [&](auto type) {
    using T = decltype(type);
    const T* from = x.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, x.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> wide(static_cast<std::size_t>(n));
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(from + r * n, wide.data(), n);
        if (bias)
          row::layer_norm(wide.data(), weight, bias, static_cast<float>(epsilon), wide.data(), n);
        else
          row::rms_norm(wide.data(), weight, static_cast<float>(epsilon), wide.data(), n);
        row::store(wide.data(), to + r * n, n);
      }
    });
  });
  return out;
}

void normalise_backward(const at::Tensor& x, const Norm& norm, double epsilon, const at::Tensor& dy, at::Tensor& dx) {
  const std::int64_t n = x.size(1);
  const float* weight = norm.weight.const_data_ptr<float>();
  const auto backward = norm.bias.defined() ? row::layer_norm_backward : row::rms_norm_backward;
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
        backward(wide, weight, static_cast<float>(epsilon), wide_dy, wide_dx, n);
        row::store(wide_dx, to + r * n, n);
      }
    });
  });
}

at::Tensor activate(const at::Tensor& in, Activation activation) {
  const std::int64_t width = in.size(1), n = is_gated(activation) ? width / 2 : width;
  auto out = at::empty({in.size(0), n}, in.options());
  with_type_of(in, [&](auto type) {
    using T = decltype(type);
    const T* from = in.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(0, in.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> buffer(static_cast<std::size_t>(width));
      float *wide = buffer.data(), *up = wide + n;
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(from + r * width, wide, width);
        switch (activation) {
          case Activation::gated_silu: row::swiglu(wide, up, wide, n); break;
          case Activation::gated_gelu: row::geglu(wide, up, wide, n); break;
          case Activation::gelu: row::gelu(wide, wide, n); break;
        }
        row::store(wide, to + r * n, n);
      }
    });
  });
  return out;
}

void activate_backward(at::Tensor& in, Activation activation, const at::Tensor& dout) {
  const std::int64_t width = in.size(1), n = is_gated(activation) ? width / 2 : width;
  with_type_of(in, [&](auto type) {
    using T = decltype(type);
    T* values = in.mutable_data_ptr<T>();
    const T* gradient = dout.const_data_ptr<T>();
    at::parallel_for(0, in.size(0), grain_of(n), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> buffer(static_cast<std::size_t>(width + n));
      float *wide = buffer.data(), *up = wide + n, *wide_dout = wide + width;
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(values + r * width, wide, width);
        row::load(gradient + r * n, wide_dout, n);
        switch (activation) {
          case Activation::gated_silu: row::swiglu_backward(wide, up, wide_dout, n); break;
          case Activation::gated_gelu: row::geglu_backward(wide, up, wide_dout, n); break;
          case Activation::gelu: row::gelu_backward(wide, wide_dout, n); break;
        }
        row::store(wide, values + r * width, width);
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

at::Tensor multiply_transposed(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (x.size(0) > kVectorRowsMax) {
    const auto type = product_type(x);
    return at::linear(x.to(type), in_product_type(weight, type), bias.defined() ? bias.to(type) : bias).to(x.scalar_type());
  }
  auto out = at::empty({x.size(0), weight.size(0)}, x.options());
  with_type_of(x, [&](auto type) { multiply_few<decltype(type)>(x, weight, bias, out); });
  return out;
}

}  // namespace redoubt::engine::model
