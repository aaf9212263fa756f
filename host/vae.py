"""The host's video VAE as the core's `Codec`.

Letters: N frames of one video, H W pixels, C latent channels, L latent frames, h w latent pixels.
"""

from ..fourreal_core.sampling.latents import Codec
from .cancel import cancellable

TILE, OVERLAP = 512, 64  # pixels, the host's defaults for tiled encoding
VIDEO = 3  # the host's `latent_dim` of a video VAE


def vae_codec(vae, tiled: bool = False, patch: int = 1) -> Codec:
    """One video goes in or out at a time: the host takes a 4-D batch of pictures as the frames of a single video.

    tiled: pieces of 512 pixels, for little memory. patch: latent pixels on a side of one token of the model that will sample.
    ValueError when it is no video VAE, or packs frames in a way of its own.
    """
    if vae.latent_dim != VIDEO or vae.not_video:
        raise ValueError(
            "expected the VAE of a video model, got one without a time axis: load the VAE that belongs to the model"
        )
    packed, pixels = _frames_per_latent(vae), int(vae.spacial_compression_encode())
    side, overlap = TILE // pixels, OVERLAP // pixels

    def encode(video_NHWC):
        with cancellable(vae.first_stage_model):
            return (vae.encode_tiled(video_NHWC, TILE, TILE, OVERLAP) if tiled else vae.encode(video_NHWC))[0]

    def decode(latent_CLhw):
        with cancellable(vae.first_stage_model):
            one = latent_CLhw[None]
            return (vae.decode_tiled(one, side, side, overlap) if tiled else vae.decode(one))[0]

    return Codec(encode, decode, vae.latent_channels, packed, pixels, patch)


def expect_vae_of(model, codec: Codec) -> None:
    """ValueError unless this codec's latents are those of the MODEL."""
    channels = model.model.latent_format.latent_channels
    if channels != codec.channels:
        raise ValueError(
            f"expected the VAE of this model, with {channels} latent channels, got one with {codec.channels}: "
            "load the VAE that belongs to the model"
        )


def _frames_per_latent(vae) -> int:
    frames_of, latents_of = vae.upscale_ratio[0], vae.downscale_ratio[0]
    packed = frames_of(2) - 1
    if [frames_of(1), frames_of(3), latents_of(1), latents_of(1 + packed)] != [1, 1 + 2 * packed, 1, 2]:
        raise ValueError(
            "this VAE is not supported: it should turn 1 + F n frames into 1 + n latent frames, like those "
            f"of Wan, Hunyuan and LTX, but turns {frames_of(1)}, {frames_of(2)}, {frames_of(3)} frames into "
            "1, 2, 3"
        )
    return packed
