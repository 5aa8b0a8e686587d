"""Sentences of chest reports: for each finding ways to say that it is there and that it is not; normal anatomy; rare remarks.

All wording is our own. Slots: {where} a lobe, {lungs} one lung or both, {side} right, left or bilateral, {flank} on which,
{size} mm, {count} a number word with its noun's ending in {s}, {degree} mild, moderate or severe.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PRESENT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "medical-material": (
            "A {side} chest port is seen, its catheter tip in the superior vena cava.",
            "Central venous catheter of a {side} subcutaneous port in place.",
            "There is medical material in the form of a port on the chest wall.",
            "Port chamber beneath the skin, with a line ending in the vena cava.",
        ),
        "arterial-wall-calcification": (
            "Calcified plaques line the wall of the aortic arch.",
            "Atherosclerotic wall calcifications in the thoracic aorta.",
            "The aorta shows {degree} calcification of its wall.",
            "{degree} calcific atheroma along the arch and the descending aorta.",
        ),
        "cardiomegaly": (
            "The heart is enlarged.",
            "Heart size is increased to a {degree} extent.",
            "There is {degree} cardiomegaly.",
            "Cardiothoracic ratio has increased in favor of the heart.",
        ),
        "pericardial-effusion": (
            "{degree} pericardial effusion is present.",
            "Fluid surrounds the heart within the pericardial sac.",
            "A {degree} amount of pericardial fluid is observed.",
            "Pericardial effusion, {degree} in amount.",
        ),
        "coronary-artery-wall-calcification": (
            "Coronary artery calcifications are noted.",
            "Calcified plaque in the walls of the coronary arteries.",
            "There are {degree} calcifications along the course of the coronary vessels.",
            "Coronary atherosclerosis with calcified walls.",
        ),
        "hiatal-hernia": (
            "Hiatal hernia at the lower end of the esophagus.",
            "Part of the stomach has slid above the diaphragm, in keeping with a {degree} hiatal hernia.",
            "A {degree} sliding type hiatal hernia is observed.",
            "Stomach fundus seen in the lower mediastinum due to a hiatal hernia.",
        ),
        "lymphadenopathy": (
            "Enlarged mediastinal lymph nodes are seen, the largest {size} mm.",
            "Mediastinal lymphadenopathy with nodes of up to {size} mm in short axis.",
            "There are pathologically enlarged nodes in paratracheal and subcarinal stations.",
            "Lymph nodes in the mediastinum exceed normal size.",
        ),
        "emphysema": (
            "{degree} emphysema in the upper zones of {lungs}.",
            "Emphysematous changes are observed in {lungs}, mainly apical.",
            "Air filled bullae and low density areas in {lungs}.",
            "Centrilobular emphysema of {degree} extent.",
        ),
        "atelectasis": (
            "Plate like atelectasis in the {where}.",
            "Subsegmental volume loss with a linear density in the {where}.",
            "{degree} atelectatic change is present in the {where}.",
            "The {where} contains a band of collapsed lung.",
        ),
        "lung-nodule": (
            "{count} nodule{s} in the {where}, the largest {size} mm in diameter.",
            "A solid nodule measuring {size} mm is seen in the {where}.",
            "There {are} {count} pulmonary nodule{s} of up to {size} mm, located in the {where}.",
            "Nodular lesion of {size} mm in the {where}.",
            "The {where} harbors a round soft tissue nodule ({size} mm).",
        ),
        "lung-opacity": (
            "Ground glass opacity in the {where}.",
            "{count} area{s} of hazy increased density in the {where}.",
            "Patchy ground glass densities are observed in the {where}.",
            "An opacity without sharp borders occupies part of the {where}.",
        ),
        "pulmonary-fibrotic-sequela": (
            "Fibrotic sequelae at the {side} lung apex.",
            "Apical scarring on the {side}, likely sequela of an old infection.",
            "Linear pleuroparenchymal sequela changes in the {side} apex.",
            "{degree} fibrotic bands at the apex of the {side} lung.",
        ),
        "pleural-effusion": (
            "{degree} {side} pleural effusion.",
            "Pleural fluid {flank}, {degree} in amount.",
            "There is {side} effusion between the leaves of the pleura.",
            "Free fluid is seen in the {side} pleural space.",
        ),
        "mosaic-attenuation-pattern": (
            "Mosaic attenuation pattern in both lungs.",
            "Lung density is heterogeneous with a mosaic pattern.",
            "Areas of air trapping next to denser lung give a {degree} mosaic appearance.",
            "A mosaic pattern of attenuation suggests small airway disease.",
        ),
        "peribronchial-thickening": (
            "Peribronchial wall thickening in {lungs}.",
            "The walls of the bronchi are thickened in {lungs}.",
            "{degree} thickening around the bronchi is observed.",
            "Bronchial walls appear thick, to a {degree} degree.",
        ),
        "consolidation": (
            "Consolidation with air bronchograms in the {where}.",
            "There is a consolidated area in the {where}.",
            "Dense airspace disease fills part of the {where}.",
            "A {degree} consolidation is present in the {where}.",
        ),
        "bronchiectasis": (
            "Bronchiectasis in the {where}.",
            "Dilated bronchi are observed in the {where}.",
            "{degree} bronchiectatic changes of the {where}.",
            "The bronchi of the {where} are wider than the vessels beside them.",
        ),
        "interlobular-septal-thickening": (
            "Interlobular septal thickening in {lungs}.",
            "The septa between lobules are thickened in {lungs}.",
            "{degree} smooth thickening of interlobular septa.",
            "A net of thick septal lines is visible in {lungs}.",
        ),
    }
)

ABSENT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "medical-material": ("No medical device is seen.", "There is no catheter or implant."),
        "arterial-wall-calcification": ("The aortic wall is free of calcification.", "No atheroma of the aorta."),
        "cardiomegaly": ("Heart size is normal.", "The heart is not enlarged.", "Heart contour and size are natural."),
        "pericardial-effusion": ("No pericardial effusion.", "Pericardial thickening or fluid was not observed."),
        "coronary-artery-wall-calcification": (
            "No coronary calcification.",
            "Coronary arteries without calcified plaque.",
        ),
        "hiatal-hernia": ("No hiatal hernia.", "The esophagus and its hiatus are unremarkable."),
        "lymphadenopathy": (
            "No enlarged lymph nodes in the mediastinum.",
            "Lymph nodes of pathological size were not detected.",
            "There is no lymphadenopathy.",
        ),
        "emphysema": ("No emphysema.", "Emphysematous change is absent."),
        "atelectasis": ("No atelectasis.", "There is no volume loss."),
        "lung-nodule": ("No nodule or mass in either lung.", "No suspicious nodule is detected.", "No lung nodule."),
        "lung-opacity": ("No ground glass opacity.", "Lung parenchyma without hazy density."),
        "pulmonary-fibrotic-sequela": ("No fibrotic sequela.", "The apices are free of scarring."),
        "pleural-effusion": ("No pleural effusion.", "Pleural fluid was not observed.", "The pleural spaces are dry."),
        "mosaic-attenuation-pattern": ("Lung attenuation is homogeneous.", "No air trapping."),
        "peribronchial-thickening": ("Bronchial walls are of normal thickness.", "No peribronchial cuffing."),
        "consolidation": ("No consolidation.", "There is no active infiltration.", "No infiltrative lesion."),
        "bronchiectasis": ("No bronchiectasis.", "The bronchi taper normally."),
        "interlobular-septal-thickening": ("Interlobular septa are thin.", "No septal line is seen."),
    }
)

NORMAL: tuple[str, ...] = (
    "Trachea and both main bronchi are open.",
    "The diameter of the main pulmonary artery is within normal limits.",
    "Thoracic vertebrae keep their height.",
    "Upper abdominal organs within the sections are unremarkable.",
    "Both adrenal glands appear normal.",
    "No lytic or destructive lesion in the bones.",
    "The thyroid gland is of normal size.",
    "Chest wall and axillary regions show no mass.",
    "The gallbladder and the bile ducts are not dilated.",
    "Vascular structures cannot be assessed in detail without contrast.",
    "Liver, spleen and pancreas are of natural appearance.",
    "No pneumothorax.",
    "Ribs and sternum are intact.",
    "Degenerative changes of the spine in accordance with age.",
)
RARE: tuple[str, ...] = (
    "An azygos fissure is noted as a variant.",
    "A Bochdalek type fat herniation lies posteriorly.",
    "Gynecomastia is incidentally observed.",
    "Schmorl nodes in the lower thoracic vertebrae.",
    "A tracheal diverticulum at the thoracic inlet.",
    "Situs solitus with a left sided aortic arch.",
    "A calcified granuloma of the spleen.",
    "Pectus excavatum deformity of the sternum.",
)
HEDGES: tuple[str, ...] = (
    "Possible: {sentence}",
    "{sentence} This may be artifact, clinical correlation is advised.",
    "Findings suspicious for the following. {sentence}",
    "{sentence} Cannot be stated with certainty.",
)
COMPARED: tuple[str, ...] = (
    "Compared with the previous examination no significant change.",
    "Findings have progressed since the prior study.",
    "Partial regression with respect to the earlier scan.",
)
SUMMARY: tuple[str, ...] = ("{names}.", "Findings consistent with {names}.", "{names}, follow up is recommended.")
NOTHING: tuple[str, ...] = ("No acute finding in the chest.", "Examination within normal limits.")
