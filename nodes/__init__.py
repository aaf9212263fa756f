"""All nodes of the pack, in the order of the menu. Each file here translates between the host and `fourreal_core`.

Node ids and the order of inputs are a contract with saved workflows: append, never rename or reorder.
"""

from comfy_api.v0_0_2 import ComfyExtension, io

from ..host.examples import lay_out_examples
from ..host.load import register_model_folders
from ..host.memory import keep_large_frames_in_temp
from ..host.player_routes import add_player_routes
from .budget import FourRealBudget
from .camera_embedding import FourRealCameraEmbedding
from .condition import FourRealGridConditioning, FourRealGridDecode
from .detail import FourRealDetail
from .empty_grid import FourRealEmptyGrid
from .encode_footage import FourRealEncodeFootage
from .estimate_cameras import FourRealEstimateCameras
from .fill import FourRealTransportFill
from .grid import FourRealAssembleGrid, FourRealBuildGrid, FourRealLoadGrid, FourRealSaveGrid
from .grid_folder import FourRealLoadGridFolder, FourRealSaveGridFolder
from .guided import FourRealGuidedSteps
from .image_batch import FourRealGridToImages, FourRealImagesToGrid
from .latent_condition import FourRealLatentGridConditioning
from .load import FourRealLoadModel
from .load_sync import FourRealLoadSync
from .measure import FourRealCompareGrids, FourRealMeasureGrid
from .path import FourRealPath
from .player import FourRealGridPlayer
from .quilt import FourRealQuilt
from .sample import FourRealSampler
from .slice import FourRealContactSheet, FourRealGridToVideo
from .splat_files import FourRealLoadSplats, FourRealSaveSplats
from .splat_player import FourRealSplatPlayer
from .splats import FourRealFitSplats, FourRealRenderSplats, FourRealSplatsToSplat
from .stereo import FourRealStereo
from .tiles import FourRealJoinTiles, FourRealSplitIntoTiles
from .train_sync import FourRealTrainSync
from .two_stream import FourRealTwoStream
from .warp import FourRealWarp

NODES: list[type[io.ComfyNode]] = [
    FourRealLoadModel,
    FourRealTwoStream,
    FourRealLoadSync,
    FourRealBuildGrid,
    FourRealAssembleGrid,
    FourRealEmptyGrid,
    FourRealLoadGrid,
    FourRealSaveGrid,
    FourRealLoadGridFolder,
    FourRealSaveGridFolder,
    FourRealGridToImages,
    FourRealImagesToGrid,
    FourRealEstimateCameras,
    FourRealGridConditioning,
    FourRealLatentGridConditioning,
    FourRealGridDecode,
    FourRealSampler,
    FourRealTransportFill,
    FourRealDetail,
    FourRealSplitIntoTiles,
    FourRealJoinTiles,
    FourRealGridToVideo,
    FourRealContactSheet,
    FourRealStereo,
    FourRealQuilt,
    FourRealGridPlayer,
    FourRealSplatPlayer,
    FourRealPath,
    FourRealBudget,
    FourRealEncodeFootage,
    FourRealTrainSync,
    FourRealMeasureGrid,
    FourRealCompareGrids,
    FourRealFitSplats,
    FourRealRenderSplats,
    FourRealSplatsToSplat,
    FourRealSaveSplats,
    FourRealLoadSplats,
    FourRealWarp,
    FourRealGuidedSteps,
    FourRealCameraEmbedding,
]


class FourRealExtension(ComfyExtension):
    """What `comfy_entrypoint` gives the host."""

    async def on_load(self) -> None:
        register_model_folders()
        lay_out_examples()
        keep_large_frames_in_temp()
        add_player_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
