"""Texts in TIFF tags about other files or old values are not copied to the result."""

import numpy as np
import pytest
import tifffile

NOISY = np.random.default_rng(6).integers(0, 65536, (2, 40, 50), dtype=np.uint16)
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {own}>'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint16" DimensionOrder="XYZCT" SizeX="50" SizeY="40"'
    ' SizeZ="{planes}" SizeC="1" SizeT="1" PhysicalSizeX="0.25">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
)
DATA = (
    '<TiffData IFD="{ifd}" FirstZ="{plane}" PlaneCount="1">'
    '<UUID FileName="{name}">urn:uuid:{number}</UUID></TiffData>'
)


def described(planes, own, *data):
    places = "".join(
        DATA.format(ifd=ifd, plane=plane, name=name, number=number)
        for plane, (ifd, name, number) in enumerate(data)
    )
    return OME.format(own=own and f'UUID="urn:uuid:{own}"', planes=planes, data=places)


def test_ome_metadata_refer_to_the_result_and_not_to_the_source(tmp_path, copy):
    text = described(2, 7, (0, "a.ome.tif", 7), (1, "a.ome.tif", 7))
    tifffile.imwrite(tmp_path / "a.ome.tif", NOISY, description=text, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as source:
        assert source.series[0].axes == "ZYX"
    (tmp_path / "results").mkdir()
    assert copy(tmp_path / "a.ome.tif", tmp_path / "results" / "a_DN.ome.tif") == []
    with tifffile.TiffFile(tmp_path / "results" / "a_DN.ome.tif") as result:
        assert "a.ome.tif" not in result.ome_metadata and "urn:uuid" not in result.ome_metadata
        assert 'PhysicalSizeX="0.25"' in result.ome_metadata
        assert (result.series[0].axes, result.series[0].shape) == ("ZYX", (2, 40, 50))
        assert np.array_equal(result.asarray(), NOISY)


@pytest.mark.parametrize(
    "text",
    [
        described(2, 7, (0, "a.ome.tif", 7), (0, "b.ome.tif", 8)),
        '<OME><BinaryOnly MetadataFile="all.companion.ome" UUID="urn:uuid:9"/></OME>',
    ],
    ids=["two files", "companion"],
)
def test_a_description_that_names_other_files_is_removed_and_reported(tmp_path, copy, text):
    tifffile.imwrite(tmp_path / "a.ome.tif", NOISY[0], description=text, metadata=None)
    tifffile.imwrite(tmp_path / "b.ome.tif", NOISY[1], description=text, metadata=None)
    lost = copy(tmp_path / "a.ome.tif", tmp_path / "a_DN.ome.tif")
    assert lost == ["the description, which names other files"]
    with tifffile.TiffFile(tmp_path / "a_DN.ome.tif") as result:
        assert result.pages[0].description == ""
        assert np.array_equal(result.asarray(), NOISY[0])


def test_statistics_of_the_noisy_values_are_removed(tmp_path, copy):
    noisy = '<Item name="STATISTICS_MAXIMUM" sample="0">65535</Item><Item name="STATISTICS_STDDEV">9</Item>'
    kept = '<Item name="AREA_OR_POINT">Area</Item>'
    text = f"<GDALMetadata>{noisy}{kept}</GDALMetadata>"
    tifffile.imwrite(tmp_path / "a.tif", NOISY[0], metadata=None, extratags=[(42112, 2, 0, text, True)])
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    with tifffile.TiffFile(tmp_path / "b.tif") as result:
        assert result.pages[0].tags[42112].value == f"<GDALMetadata>{kept}</GDALMetadata>"


@pytest.mark.parametrize("text", ["UUID of FileName STATISTICS_ BinaryOnly", "<b>no OMEN</b>"])
def test_other_texts_are_not_changed(tmp_path, copy, text):
    tifffile.imwrite(tmp_path / "a.tif", NOISY[0], description=text, metadata=None)
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    with tifffile.TiffFile(tmp_path / "b.tif") as result:
        assert result.pages[0].description == text
